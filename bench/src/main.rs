//! `weir-bench`: load on any WHIP/WHEP server, and what it did with it.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
