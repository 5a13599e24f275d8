//! Compiles fasttrace.c, which `python -m fasttrace amalgamate fasttrace --only traces,info` has written.

fn main() {
    let file = "fasttrace/fasttrace.c";
    println!("cargo:rerun-if-changed={file}");
    cc::Build::new()
        .file(file)
        .opt_level(3) // in a debug build, too
        .flag_if_supported("-ffp-contract=off")
        .compile("fasttrace");
    if std::env::var("CARGO_CFG_UNIX").is_ok() {
        println!("cargo:rustc-link-lib=m");
    }
}
