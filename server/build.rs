//! The pages are embedded: without them there is nothing to build.

fn main() {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/dist");
    println!("cargo:rerun-if-changed={dist}");
    if !std::path::Path::new(dist).join("index.html").is_file() {
        println!("cargo:error=the pages are not built: run `make web` first");
    }
}
