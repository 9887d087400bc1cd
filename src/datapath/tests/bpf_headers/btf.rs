//! Types of a `.BTF` section as text, with names in place of offsets (kernel:
//! Documentation/bpf/btf.rst).

struct Reader<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
}

impl Reader<'_> {
    fn word(&mut self) -> u32 {
        let (word, rest) = self.bytes.split_first_chunk().unwrap();
        self.bytes = rest;
        u32::from_le_bytes(*word)
    }

    fn name(&mut self) -> String {
        let offset = usize::try_from(self.word()).unwrap();
        let end = self.strings[offset..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(self.strings[offset..offset + end].to_vec()).unwrap()
    }

    /// One `struct btf_type` and what follows it.
    fn one(&mut self) -> String {
        let (name, info, size) = (self.name(), self.word(), self.word());
        let (kind, count, flag) = (info >> 24 & 0x1f, info & 0xffff, info >> 31);
        // How many words follow, and whether they begin with a name.
        let (word, items, named, words) = match kind {
            1 => ("INT", 1, false, 1),
            2 => ("PTR", 0, false, 0),
            3 => ("ARRAY", 1, false, 3),
            4 => ("STRUCT", count, true, 2),
            5 => ("UNION", count, true, 2),
            6 => ("ENUM", count, true, 1),
            7 => ("FWD", 0, false, 0),
            8 => ("TYPEDEF", 0, false, 0),
            9 => ("VOLATILE", 0, false, 0),
            10 => ("CONST", 0, false, 0),
            11 => ("RESTRICT", 0, false, 0),
            12 => ("FUNC", 0, false, 0),
            13 => ("FUNC_PROTO", count, true, 1),
            14 => ("VAR", 1, false, 1),
            15 => ("DATASEC", count, false, 3),
            16 => ("FLOAT", 0, false, 0),
            17 => ("DECL_TAG", 1, false, 1),
            18 => ("TYPE_TAG", 0, false, 0),
            19 => ("ENUM64", count, true, 2),
            other => panic!("kind {other} is unknown: add it from btf.rst"),
        };
        let mut text = format!("{word} {name} {size} {count} {flag}");
        for _ in 0..items {
            text += if named { format!(" {}", self.name()) } else { String::new() }.as_str();
            for _ in 0..words {
                text += &format!(" {}", self.word());
            }
        }
        text
    }
}

pub fn types(section: &[u8]) -> Vec<String> {
    let mut header = Reader { bytes: section, strings: &[] };
    assert_eq!(header.word() & 0xffff, 0xeb9f, "magic");
    let [length, types, types_length, strings, _] =
        std::array::from_fn(|_| usize::try_from(header.word()).unwrap());
    let body = &section[length..];
    let mut reader =
        Reader { bytes: &body[types..types + types_length], strings: &body[strings..] };
    let mut found = Vec::new();
    while !reader.bytes.is_empty() {
        found.push(reader.one());
    }
    found
}
