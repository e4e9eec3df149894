//! Tests of keys, envelopes and signers. The keys are made for them.

use super::*;

/// The key of RFC 8032's second test.
const SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
/// What SSH's programs make of it.
const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM";
const FINGERPRINT: &str = "SHA256:F34nin7tcaYH6WR5LSWSfj6weFBPfBpuyUUoPFP9YjA";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The key as a file of OpenSSH's. tests/it/sign.rs reads those that ssh-keygen itself wrote.
fn openssh() -> Vec<u8> {
    let (seed, key) = (hex(SEED), hex(KEY));
    let public = PublicKey(key.as_slice().try_into().unwrap());
    let mut private = vec![0, 1, 2, 3, 0, 1, 2, 3];
    for part in [SSH_ED25519.as_bytes(), &key, &[seed, key.clone()].concat(), b"a comment"] {
        put(&mut private, part);
    }
    private.extend(1..=3);
    let mut file = b"openssh-key-v1\0".to_vec();
    for part in [b"none".as_slice(), b"none", b""] {
        put(&mut file, part);
    }
    file.extend(1u32.to_be_bytes());
    put(&mut file, &public.blob());
    put(&mut file, &private);
    file
}

fn pem(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", lines.join("\n"))
}

fn key_file(text: &str) -> tempfile::TempPath {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file.into_temp_path()
}

fn signer() -> Signer {
    Signer::read(&key_file(&pem(&openssh())), None).unwrap()
}

#[test]
fn what_is_covered_is_what_dsse_says() {
    // The example of DSSE's own protocol text.
    assert_eq!(
        envelope::covered("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn a_key_signs_as_rfc_8032_says() {
    let signer = signer();
    let signature = hex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    assert_eq!(signer.sign(&[0x72]).unwrap(), signature);
}

#[test]
fn a_key_of_ssh_is_read_and_its_fingerprint_is_sshs() {
    let signer = signer();
    assert_eq!(signer.public().to_string(), PUBLIC);
    assert_eq!(signer.public().fingerprint(), FINGERPRINT);
    assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.public().fingerprint()));
}

#[test]
fn a_key_in_pem_is_read() {
    // The example of RFC 8410.
    let first = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                 -----END PRIVATE KEY-----\n";
    let signer = Signer::read(&key_file(first), None).unwrap();
    let public = hex("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
    assert_eq!(signer.public().0.as_slice(), public);
    assert!(signer.public().made(&signer.sign(b"a").unwrap(), b"a"));
    assert!(!signer.public().made(&signer.sign(b"a").unwrap(), b"b"));
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_the_reason() {
    for (text, told) in [
        ("", "llmc reads PKCS#8 in PEM"),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "the base64 is damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "it is of another kind, or damaged"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "it is encrypted"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "it is damaged"),
        ("ssh-ed25519 AAAA", "the public key is damaged"),
        (PUBLIC, "SSH_AUTH_SOCK is not set"),
    ] {
        let error = Signer::read(&key_file(text), None).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    // Any part of a file may be missing.
    let bytes = openssh();
    for end in 0..bytes.len() - 8 {
        assert!(Signer::read(&key_file(&pem(&bytes[..end])), None).is_err(), "cut at {end}");
    }
    // An encrypted one is the agent's to use.
    let mut encrypted = bytes.clone();
    encrypted[19..23].copy_from_slice(b"aes9");
    let error = Signer::read(&key_file(&pem(&encrypted)), None).unwrap_err().to_string();
    assert!(error.contains("the key is encrypted or public, and no agent runs"), "{error}");
}

#[test]
fn an_envelope_is_the_same_each_time_and_verified_by_who_signed_it() {
    let (signer, record) = (signer(), b"{\"a\": 1}\n".as_slice());
    let envelope = Envelope::sign(record, &signer).unwrap();
    let bytes = envelope.to_bytes();
    assert_eq!(bytes, Envelope::sign(record, &signer).unwrap().to_bytes());
    let read = Envelope::read(&bytes).unwrap();
    assert!(read.is_of(record) && !read.is_of(b"{\"a\": 2}\n"));
    let signers = Signers::read(&signer.public().line("ann@example.org")).unwrap();
    assert_eq!(read.verify(&signers), Ok("ann@example.org"));
    let stranger = format!("{}\n", PublicKey([7; 32]).line("bob"));
    let error = read.verify(&Signers::read(&stranger).unwrap()).unwrap_err();
    assert!(error.starts_with("is signed by a key that is not among the signers: SHA256:"), "{error}");
}

#[test]
fn any_byte_of_an_envelope_that_is_changed_is_noticed() {
    let (signer, record) = (signer(), b"{\"a\": 1}\n".as_slice());
    let signers = Signers::read(&signer.public().line("ann")).unwrap();
    let bytes = Envelope::sign(record, &signer).unwrap().to_bytes();
    let holds = |bytes: &[u8]| {
        Envelope::read(bytes).is_ok_and(|envelope| envelope.is_of(record) && envelope.verify(&signers).is_ok())
    };
    assert!(holds(&bytes));
    let key_id = String::from_utf8_lossy(&bytes).find("SHA256:").unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // The name of the key is a hint: whose signature it is, the signature says.
        let is_hint = (key_id..key_id + 50).contains(&at);
        assert!(is_hint || !holds(&changed), "byte {at}");
        changed.truncate(at);
        assert!(!holds(&changed), "cut at {at}");
    }
}

#[test]
fn a_file_of_signers_is_read_as_ssh_keygen_reads_it() {
    let key = PUBLIC;
    let text = format!(
        "# ours\n\nann@example.org,ann {key} her laptop\n\
         bob namespaces=\"git\" {key}\n\
         cy namespaces=\"git,llmc\" {key}\n\
         dee ssh-rsa AAAAB3NzaC1yc2E=\n\"eve of x\" {key}\n"
    );
    let signers = Signers::read(&text).unwrap();
    let names: Vec<&str> = signers.list().iter().map(|(_, who)| who.as_str()).collect();
    assert_eq!(names, ["ann@example.org,ann", "cy", "\"eve of x\""]);
    for (line, told) in [
        (format!("ann cert-authority {key}"), "line 2: llmc does not know the option `cert-authority`"),
        (format!("ann valid-before=\"20300101\" {key}"), "line 2: llmc does not know the option `valid-before"),
        ("ann".to_owned(), "line 2: `WHO ssh-ed25519 KEY` is wanted"),
        ("ann ssh-ed25519 AAAA".to_owned(), "line 2: the key is damaged"),
        ("ann namespaces=\"llmc\"".to_owned(), "line 2: no key after the options"),
        ("ann \"x".to_owned(), "line 2: a quote is not closed"),
        (key.to_owned(), "line 2: "),
    ] {
        let error = Signers::read(&format!("\n{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}
