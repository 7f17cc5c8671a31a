//! How long an Opus packet is: RFC 6716 section 3.

/// Samples at 48 kHz, from the table of contents; `None` for what is no packet.
pub(super) fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let (config, code) = (toc >> 3, toc & 3);
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match code {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    // At most 120 ms.
    Some(frame * frames).filter(|samples| (1..=5760).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(samples(&[0xfc, 1]), Some(960), "one CELT frame of 20 ms");
        assert_eq!(samples(&[0x78 | 1, 1]), Some(1920), "two hybrid frames of 20 ms");
        assert_eq!(samples(&[0x08 | 3, 3]), Some(2880), "three SILK frames of 20 ms");
        assert_eq!(samples(&[0xe0]), Some(120));
        assert_eq!(samples(&[0x18 | 3, 63]), None, "longer than 120 ms");
        assert_eq!(samples(&[0xff]), None);
        assert_eq!(samples(&[]), None);
    }
}
