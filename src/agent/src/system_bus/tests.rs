//! The bytes are those of zbus 6.2, another implementation.

use tokio::net::UnixListener;

use super::*;

const SYSTEMD: BusObject = BusObject {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const LOGIND: BusObject = BusObject {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};

/// With the flag that starts no service.
const CALL: &str = "6c01020138000000070000009000000001016f00190000002f6f72672f667265656465736b746f70\
    2f73797374656d643100000000000000020173001f0000006f72672e667265656465736b746f702e444275732e50726f7065\
    7274696573000301730003000000476574000000000006017300180000006f72672e667265656465736b746f702e73797374\
    656d643100000000000000000801670002737300200000006f72672e667265656465736b746f702e73797374656d64312e4d\
    616e61676572000000000b00000053797374656d537461746500";
/// To the call with the number 1.
const STOPPING: &str = "6c02000111000000020000001f000000050175000100000007017300040000003a312e320000\
    00000801670001760000017300000800000073746f7070696e6700";
/// The same.
const UNKNOWN: &str = "6c03000111000000030000004700000004017300290000006f72672e667265656465736b746f70\
    2e444275732e4572726f722e53657276696365556e6b6e6f776e00000000000000050175000100000008016700017300000c\
    0000006e6f2073756368206e616d6500";
const PREPARE: &str = "6c04000104000000040000007f00000001016f00170000002f6f72672f667265656465736b746f\
    702f6c6f67696e3100020173001e0000006f72672e667265656465736b746f702e6c6f67696e312e4d616e61676572000003\
    0173001200000050726570617265466f7253687574646f776e00000000000007017300040000003a312e3300000000080167\
    000162000001000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A connection to which the other side says these bytes, and no more; and that side.
async fn told(said: &[u8]) -> (SystemBus, UnixStream) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    let stream = BufReader::new(UnixStream::connect(&socket).await.unwrap());
    let (mut other, _) = listener.accept().await.unwrap();
    other.write_all(said).await.unwrap();
    other.shutdown().await.unwrap();
    (SystemBus { stream, serial: 0 }, other)
}

#[test]
fn a_call_has_the_bytes_that_others_send() {
    let properties = BusObject { interface: "org.freedesktop.DBus.Properties", ..SYSTEMD };
    let call = call(&properties, "Get", &[SYSTEMD.interface, "SystemState"], 7);
    assert_eq!(call, bytes(CALL));
}

#[tokio::test]
async fn answers_errors_and_signals_are_read() {
    // What belongs to nobody's question is passed over.
    let (mut bus, _other) = told(&bytes(&format!("{PREPARE}{STOPPING}"))).await;
    assert_eq!(bus.text(&SYSTEMD, "SystemState").await.unwrap(), "stopping");
    let (mut bus, _other) = told(&bytes(UNKNOWN)).await;
    let error = bus.text(&SYSTEMD, "SystemState").await.unwrap_err();
    let text = "org.freedesktop.DBus.Error.ServiceUnknown: no such name";
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::Other, text));
    let (mut bus, _other) = told(&bytes(STOPPING)).await;
    assert!(bus.flag(&SYSTEMD, "SystemState").await.is_err(), "a text is no flag");
    let (mut bus, _other) = told(&bytes(&format!("{STOPPING}{PREPARE}"))).await;
    bus.signal(&LOGIND, "PrepareForShutdown").await.unwrap();
    assert!(bus.signal(&LOGIND, "PrepareForShutdown").await.is_err(), "the bus has ended");
    let (mut bus, _other) = told(&bytes(PREPARE)).await;
    let elsewhere = BusObject { path: "/org/freedesktop/login2", ..LOGIND };
    assert!(bus.signal(&elsewhere, "PrepareForShutdown").await.is_err(), "another object's");
}

/// Cut anywhere, or with any byte changed: an error or another answer, no panic and no endless wait.
#[tokio::test]
async fn nothing_that_comes_makes_it_panic() {
    let good = bytes(STOPPING);
    for at in 0..good.len() {
        let (mut bus, _other) = told(&good[..at]).await;
        assert!(bus.text(&SYSTEMD, "SystemState").await.is_err());
        for value in [0, 0x7f, 0xff] {
            let mut other = good.clone();
            other[at] = value;
            let (mut bus, _other) = told(&other).await;
            let _ = bus.text(&SYSTEMD, "SystemState").await;
        }
    }
}
