//! What a model costs, as far as that is known without asking anyone.

use super::Identity;

/// Whether sampling a model costs nothing: it runs on this machine, or nothing is run at all.
///
/// Of a program (`command`) that can't be known.
pub fn is_free(identity: &Identity) -> bool {
    match identity.provider.as_str() {
        "embedded" | "replay" => true,
        "command" => false,
        _ => identity.facts.iter().any(|(name, value)| name == "base_url" && is_on_this_machine(value)),
    }
}

fn is_on_this_machine(address: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(address) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_this_machine_is_free_and_nothing_else() {
        let model = |provider: &str, base_url: &str| Identity {
            provider: provider.into(),
            name: "m".into(),
            digest: None,
            facts: vec![("base_url".into(), base_url.into())],
        };
        for address in ["http://localhost:8000/v1", "http://127.0.0.1:1", "http://[::1]:11434/v1", "http://127.9.9.9/"]
        {
            assert!(is_free(&model("openai", address)), "{address}");
        }
        for address in ["https://api.openai.com/v1", "http://localhost.example.org", "http://10.0.0.1/v1", "nonsense"] {
            assert!(!is_free(&model("openai", address)), "{address}");
        }
        assert!(is_free(&Identity { facts: vec![], ..model("embedded", "") }));
        assert!(!is_free(&Identity { facts: vec![], ..model("command", "") }));
        assert!(!is_free(&Identity { facts: vec![], ..model("anthropic", "") }));
    }
}
