//! A reader of fragmented MP4 (ISO/IEC 14496-12) that shares nothing with the server: as much as the rules of the audience path
//! need to know of a file.

/// What an initialization segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Ticks per second.
    pub timescale: u32,
    /// `vide` or `soun`.
    pub handler: [u8; 4],
    /// The sample entry: `avc1`, `mp4a`, …
    pub entry: [u8; 4],
    /// Profile, constraints and level of an `avcC`.
    pub avc: Option<[u8; 3]>,
    /// Width and height of a visual sample entry.
    pub size: Option<(u16, u16)>,
    /// It has an edit list.
    pub edits: bool,
}

/// One `moof` and its `mdat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// `tfdt`.
    pub base: u64,
    /// Version of the `trun`.
    pub version: u8,
    /// In order.
    pub samples: Vec<Sample>,
}

/// One access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Ticks.
    pub duration: u32,
    /// A sync sample, by its flags.
    pub sync: bool,
    /// From decoding to showing, in ticks.
    pub composition: i64,
    /// As it lies in the file.
    pub data: Vec<u8>,
}

impl Init {
    /// Reads a file.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let moov = find(file, b"moov")?;
        find(moov, b"mvex")?;
        let trak = find(moov, b"trak")?;
        let mdia = find(trak, b"mdia")?;
        let mdhd = find(mdia, b"mdhd")?;
        let timescale = u32_at(mdhd, if mdhd.first() == Some(&1) { 20 } else { 12 })?;
        let handler = array(find(mdia, b"hdlr")?, 8)?;
        let stsd = find(find(find(mdia, b"minf")?, b"stbl")?, b"stsd")?;
        let (entry, body) = boxes(stsd.get(8..).ok_or("a short stsd")?)?
            .first()
            .map(|(kind, body)| (*kind, *body))
            .ok_or("an empty stsd")?;
        let visual = &handler == b"vide";
        let inside = body.get(if visual { 78 } else { 28 }..).unwrap_or_default();
        let avc = find(inside, b"avcC").ok().filter(|_| visual);
        Ok(Self {
            timescale,
            handler,
            entry,
            avc: avc.map(|avc| array::<3>(avc, 1)).transpose()?,
            size: visual
                .then(|| Ok::<_, String>((u16_at(body, 24)?, u16_at(body, 26)?)))
                .transpose()?,
            edits: find(trak, b"edts").is_ok(),
        })
    }
}

impl Fragment {
    /// All fragments of a file.
    pub fn parse(file: &[u8]) -> Result<Vec<Self>, String> {
        let mut at = 0;
        let mut found = Vec::new();
        let mut moof = None;
        for (kind, body) in boxes(file)? {
            match &kind {
                b"moof" => moof = Some((at, body)),
                b"mdat" => {
                    let (start, moof) = moof.take().ok_or("an mdat without its moof")?;
                    found.push(Self::read(file, start, moof)?);
                }
                _ => {}
            }
            at += 8 + body.len();
        }
        match found.is_empty() {
            true => Err("no fragment".into()),
            false => Ok(found),
        }
    }

    fn read(file: &[u8], start: usize, moof: &[u8]) -> Result<Self, String> {
        let traf = find(moof, b"traf")?;
        let tfhd = find(traf, b"tfhd")?;
        let flags = u32_at(tfhd, 0)? & 0xff_ffff;
        if flags & 0x02_0000 == 0 {
            return Err("no default-base-is-moof".into());
        }
        // Behind the track: only what the flags say, in this order.
        let mut fields = Fields { bytes: tfhd, at: 8 };
        for (flag, bytes) in [(1, 8), (2, 4)] {
            fields.at += if flags & flag > 0 { bytes } else { 0 };
        }
        let duration = fields.next_if(flags & 8)?;
        let size = fields.next_if(flags & 0x10)?;
        let default = fields.next_if(flags & 0x20)?;
        let tfdt = find(traf, b"tfdt")?;
        let base = match tfdt.first() {
            Some(1) => u64::from(u32_at(tfdt, 4)?) << 32 | u64::from(u32_at(tfdt, 8)?),
            _ => u64::from(u32_at(tfdt, 4)?),
        };
        let trun = find(traf, b"trun")?;
        let flags = u32_at(trun, 0)? & 0xff_ffff;
        let version = trun[0];
        let count = u32_at(trun, 4)?;
        let mut fields = Fields { bytes: trun, at: 8 };
        let mut data = start + fields.next_if(flags & 1)?.ok_or("no data offset")? as usize;
        let first = fields.next_if(flags & 4)?;
        let mut samples = Vec::new();
        for number in 0..count {
            let duration = fields.next_if(flags & 0x100)?.or(duration).ok_or("no duration")?;
            let size = fields.next_if(flags & 0x200)?.or(size).ok_or("no size")? as usize;
            let own = fields.next_if(flags & 0x400)?;
            let composition = fields.next_if(flags & 0x800)?.unwrap_or(0);
            let flags = own.or(first.filter(|_| number == 0)).or(default).unwrap_or(0);
            let bytes = file.get(data..data + size).ok_or("a sample beyond the end")?;
            data += size;
            samples.push(Sample {
                duration,
                sync: flags & 0x1_0000 == 0,
                composition: match version {
                    0 => i64::from(composition),
                    _ => i64::from(composition as i32),
                },
                data: bytes.to_vec(),
            });
        }
        Ok(Self { base, version, samples })
    }

    /// Ticks of all samples.
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }
}

impl Sample {
    /// Of H.264 with lengths of four bytes: one of its NAL units is of an IDR picture.
    pub fn idr(&self) -> bool {
        let mut rest = &self.data[..];
        while let [a, b, c, d, behind @ ..] = rest {
            let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some(unit) = behind.get(..len) else { return false };
            if unit.first().is_some_and(|byte| byte & 0x1f == 5) {
                return true;
            }
            rest = &behind[len..];
        }
        false
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn next_if(&mut self, there: u32) -> Result<Option<u32>, String> {
        if there == 0 {
            return Ok(None);
        }
        self.at += 4;
        u32_at(self.bytes, self.at - 4).map(Some)
    }
}

type Boxes<'a> = Vec<([u8; 4], &'a [u8])>;

fn boxes(mut bytes: &[u8]) -> Result<Boxes<'_>, String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let size = u32_at(bytes, 0)? as usize;
        let kind: [u8; 4] = array(bytes, 4)?;
        let name = String::from_utf8_lossy(&kind).into_owned();
        let body = bytes.get(8..size).ok_or_else(|| format!("{name} of {size} bytes is cut"))?;
        all.push((kind, body));
        bytes = &bytes[size..];
    }
    Ok(all)
}

fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<&'a [u8], String> {
    let found = boxes(bytes)?.into_iter().find(|(found, _)| found == kind);
    found.map(|(_, body)| body).ok_or_else(|| format!("no {}", String::from_utf8_lossy(kind)))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let slice = bytes.get(at..at + N).ok_or("a box is cut short")?;
    Ok(slice.try_into().expect("it has that length"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    array(bytes, at).map(u16::from_be_bytes)
}
