//! The host's system bus (D-Bus), as far as two properties and one signal of it need it.
//!
//! State: the connection. Always: nothing is sent but calls of methods with texts as arguments; what
//! comes is bounded, and nothing in it makes this panic. (D-Bus specification, "Message Protocol". A
//! library for all of D-Bus costs nine more crates, and new features of crates that all the clouds'
//! SDKs are built with.)

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Longest header or body that is read. What is asked for fits into 300 bytes.
const LONGEST: usize = 64 << 10;
const LITTLE_ENDIAN: u8 = b'l';
/// A flag of a call: it starts no service that is not there.
const NO_AUTO_START: u8 = 0x2;

/// What answers to calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusObject {
    /// The name of the service.
    pub(crate) service: &'static str,
    /// The path of the object.
    pub(crate) path: &'static str,
    /// The interface of its methods, properties and signals.
    pub(crate) interface: &'static str,
}

/// The bus itself.
const BUS: BusObject = BusObject {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// A connection to the bus.
#[derive(Debug)]
pub(crate) struct SystemBus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl SystemBus {
    /// # Errors
    /// Where nobody listens at `socket`, or does not take this process in.
    pub(crate) async fn connect(socket: &Path) -> io::Result<Self> {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        // The kernel tells the bus who this is; the name is the user's number in hexadecimal digits
        // of its text.
        let user = user().to_string();
        let name: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {name}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        (&mut stream).take(256).read_line(&mut answer).await?;
        if !answer.starts_with("OK ") {
            return Err(wrong("it does not take the agent's user in"));
        }
        stream.write_all(b"BEGIN\r\n").await?;
        let mut bus = Self { stream, serial: 0 };
        bus.call(&BUS, "Hello", &[]).await?;
        Ok(bus)
    }

    /// A property that is a text.
    ///
    /// # Errors
    /// Where it is refused, is none, or the connection ends.
    pub(crate) async fn text(&mut self, of: &BusObject, name: &str) -> io::Result<String> {
        let answer = self.property(of, name).await?;
        let mut value = answer.body();
        match value.variant()? {
            b's' => value.text(),
            _ => Err(wrong("the property is no text")),
        }
    }

    /// A property that is true or false.
    ///
    /// # Errors
    /// As [`SystemBus::text`].
    pub(crate) async fn flag(&mut self, of: &BusObject, name: &str) -> io::Result<bool> {
        let answer = self.property(of, name).await?;
        let mut value = answer.body();
        match value.variant()? {
            b'b' => value.flag(),
            _ => Err(wrong("the property is not true or false")),
        }
    }

    /// Asks for the signals `name` of an object.
    ///
    /// # Errors
    /// Where it is refused, or the connection ends.
    pub(crate) async fn listen(&mut self, of: &BusObject, name: &str) -> io::Result<()> {
        let BusObject { service, path, interface } = of;
        let rule = format!(
            "type='signal',sender='{service}',path='{path}',interface='{interface}',member='{name}'"
        );
        self.call(&BUS, "AddMatch", &[&rule]).await.map(drop)
    }

    /// Waits for a signal `name`. A hint, and no more: the bus delivers such a signal from anybody who
    /// names this connection as its destination, so what it says has to be asked for. Not to be
    /// cancelled and called again: a part of a message could be lost.
    ///
    /// # Errors
    /// Where the connection ends.
    pub(crate) async fn signal(&mut self, of: &BusObject, name: &str) -> io::Result<()> {
        loop {
            let message = self.receive().await?;
            let fields = message.fields()?;
            if message.kind == Kind::SIGNAL
                && fields.path == of.path
                && fields.interface == of.interface
                && fields.member == name
            {
                return Ok(());
            }
        }
    }

    async fn property(&mut self, of: &BusObject, name: &str) -> io::Result<Message> {
        let properties = BusObject { interface: "org.freedesktop.DBus.Properties", ..*of };
        self.call(&properties, "Get", &[of.interface, name]).await
    }

    async fn call(
        &mut self,
        of: &BusObject,
        method: &str,
        arguments: &[&str],
    ) -> io::Result<Message> {
        self.serial += 1;
        self.stream.write_all(&call(of, method, arguments, self.serial)).await?;
        loop {
            let message = self.receive().await?;
            let fields = message.fields()?;
            match message.kind {
                Kind::ANSWER if fields.reply_to == self.serial => return Ok(message),
                Kind::ERROR if fields.reply_to == self.serial => {
                    let why = message.body().text().unwrap_or_default();
                    return Err(io::Error::other(format!("{}: {why}", fields.error)));
                }
                _ => {}
            }
        }
    }

    async fn receive(&mut self) -> io::Result<Message> {
        let mut begin = [0; 16];
        self.stream.read_exact(&mut begin).await?;
        let little = begin[0] == LITTLE_ENDIAN;
        let number = |at: usize| {
            let bytes = [begin[at], begin[at + 1], begin[at + 2], begin[at + 3]];
            let number = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let (body, fields) = (number(4), number(12));
        if body > LONGEST || fields > LONGEST {
            return Err(wrong("a message is too long"));
        }
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        self.stream.read_exact(&mut rest).await?;
        let body = rest.split_off(fields.next_multiple_of(8));
        rest.truncate(fields);
        Ok(Message { kind: Kind(begin[1]), little, fields: rest, body })
    }
}

fn user() -> u32 {
    // The owner of what the kernel shows of this process.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The bytes of a method call. Asking whether a service prepares for something must not start it.
fn call(of: &BusObject, method: &str, arguments: &[&str], serial: u32) -> Vec<u8> {
    let mut body = Writer::default();
    for argument in arguments {
        body.text(argument);
    }
    let mut fields = Writer::default();
    for (code, kind, text) in
        [(1, b'o', of.path), (2, b's', of.interface), (3, b's', method), (6, b's', of.service)]
    {
        fields.field(code, kind);
        fields.text(text);
    }
    if !arguments.is_empty() {
        fields.field(8, b'g');
        fields.signature(&vec![b's'; arguments.len()]);
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut message = Writer(vec![LITTLE_ENDIAN, Kind::CALL.0, NO_AUTO_START, 1]);
    message.number(length(&body.0));
    message.number(serial);
    message.number(length(&fields.0));
    message.0.extend(fields.0);
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind(u8);

impl Kind {
    const CALL: Self = Self(1);
    const ANSWER: Self = Self(2);
    const ERROR: Self = Self(3);
    const SIGNAL: Self = Self(4);
}

struct Message {
    kind: Kind,
    little: bool,
    fields: Vec<u8>,
    body: Vec<u8>,
}

/// What of a header is looked at.
#[derive(Default)]
struct Fields {
    path: String,
    interface: String,
    member: String,
    error: String,
    reply_to: u32,
}

impl Message {
    fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0, little: self.little }
    }

    fn fields(&self) -> io::Result<Fields> {
        let mut found = Fields::default();
        let mut reader = Reader { bytes: &self.fields, at: 0, little: self.little };
        while reader.at < reader.bytes.len() {
            reader.align(8);
            let code = reader.byte()?;
            let (mut text, mut number) = (String::new(), 0);
            match reader.variant()? {
                b's' | b'o' => text = reader.text()?,
                b'g' => text = reader.signature()?,
                b'u' => number = reader.number()?,
                _ => return Err(wrong("a header has a field of an unknown type")),
            }
            match code {
                1 => found.path = text,
                2 => found.interface = text,
                3 => found.member = text,
                4 => found.error = text,
                5 => found.reply_to = number,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Values are aligned to their size, counted from the begin of the message: header fields and bodies
/// begin at multiples of 8.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, types: &[u8]) {
        self.0.push(u8::try_from(types.len()).unwrap_or(u8::MAX));
        self.0.extend(types);
        self.0.push(0);
    }

    fn field(&mut self, code: u8, kind: u8) {
        self.align(8);
        self.0.push(code);
        self.signature(&[kind]);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(length).ok_or_else(|| wrong("a value is too long"))?;
        let taken = self.bytes.get(self.at..end);
        self.at = end;
        taken.ok_or_else(|| wrong("a message ends within a value"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let little = self.little;
        let bytes =
            <[u8; 4]>::try_from(self.take(4)?).map_err(|_| wrong("a number is too short"))?;
        Ok(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn flag(&mut self) -> io::Result<bool> {
        Ok(self.number()? != 0)
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.number()?;
        self.string(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.byte()?;
        self.string(length.into())
    }

    /// The type of a variant that holds one basic value, which follows.
    fn variant(&mut self) -> io::Result<u8> {
        match self.signature()?.as_bytes() {
            [kind] => Ok(*kind),
            _ => Err(wrong("a value is of a compound type")),
        }
    }

    fn string(&mut self, length: usize) -> io::Result<String> {
        let bytes = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(bytes).map_err(|_| wrong("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests;
