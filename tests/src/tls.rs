//! A self-signed certificate (RFC 5280), for servers under test.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

const MADE: &str = "libssl makes a certificate";

/// Writes one for this machine and its key, good for two days.
pub fn certificate(cert: &Path, key: &Path) {
    let pair = PKey::from_rsa(Rsa::generate(2048).expect(MADE)).expect(MADE);
    let mut name = X509NameBuilder::new().expect(MADE);
    name.append_entry_by_text("CN", "localhost").expect(MADE);
    let name = name.build();
    let mut made = X509::builder().expect(MADE);
    made.set_version(2).expect(MADE);
    made.set_subject_name(&name).expect(MADE);
    made.set_issuer_name(&name).expect(MADE);
    made.set_pubkey(&pair).expect(MADE);
    made.set_not_before(&Asn1Time::days_from_now(0).expect(MADE)).expect(MADE);
    made.set_not_after(&Asn1Time::days_from_now(2).expect(MADE)).expect(MADE);
    let mut names = SubjectAlternativeName::new();
    names.dns("localhost").ip("127.0.0.1");
    let names = names.build(&made.x509v3_context(None, None)).expect(MADE);
    made.append_extension(names).expect(MADE);
    made.sign(&pair, MessageDigest::sha256()).expect(MADE);
    std::fs::write(cert, made.build().to_pem().expect(MADE)).expect(MADE);
    std::fs::write(key, pair.private_key_to_pem_pkcs8().expect(MADE)).expect(MADE);
}
