//! Who may call over HTTP: a token, and where a request says that it goes to and comes from.
//!
//! A page in the user's own browser reaches loopback, too, so that `Host` and `Origin` are looked at even where no
//! token is wanted.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::digest::sha256;

/// Fewest characters of a token.
const SHORTEST: usize = 16;

/// What a caller must know. Only its digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text can't be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It could be guessed.
    #[error("it is shorter than 16 characters")]
    Short,
    /// It can't be sent in a header.
    #[error("it holds something else than visible ASCII characters")]
    Characters,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl Token {
    /// A token that somebody chose; blanks around it don't count.
    ///
    /// # Errors
    /// Where it is too short or can't be sent.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        match text.len() {
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(BadToken::Characters),
            ..SHORTEST => Err(BadToken::Short),
            _ => Ok(Self(sha256(text))),
        }
    }

    /// A new one, with its text.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn random() -> Result<(Self, String), BadToken> {
        let mut bytes = [0_u8; 20];
        SystemRandom::new().fill(&mut bytes).map_err(|_| BadToken::Random)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((Self(sha256(&text)), text))
    }

    /// Whether it is this one. How long that takes says nothing of the token.
    fn is(&self, text: &[u8]) -> bool {
        let given = sha256(text);
        let differing = self.0.bytes().zip(given.bytes()).fold(0, |differing, (one, other)| differing | (one ^ other));
        black_box(differing) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

/// Who may call.
#[derive(Debug, Clone)]
pub struct Access {
    /// What callers must know; `None`: nothing.
    pub token: Option<Token>,
    /// Names by which callers may address the server, beside `localhost` and IP addresses. In lower case.
    pub hosts: Vec<String>,
    /// Web pages that may call, e.g. `https://app.example.org`. None may otherwise.
    pub origins: Vec<String>,
    is_local: bool,
}

/// Why a request may not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) class: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, class: &'static str, message: impl Into<String>) -> Self {
        Self { status, class, message: message.into() }
    }
}

impl Access {
    /// To a server at `address`.
    pub fn new(address: SocketAddr, token: Option<Token>) -> Self {
        Self { token, hosts: Vec::new(), origins: Vec::new(), is_local: address.ip().is_loopback() }
    }

    /// Whether a request may be looked at: it knows the server by a name that is its own, and no strange web page sent
    /// it. The page that did and may, where there is one.
    pub(super) fn addressed<'a>(&self, parts: &'a Parts) -> Result<Option<&'a HeaderValue>, Refused> {
        let wrong = |message: String| Refused::new(StatusCode::FORBIDDEN, "forbidden-host", message);
        let bad = |message: &str| Refused::new(StatusCode::BAD_REQUEST, "bad-request", message);
        let host = one(parts, &HOST).map_err(bad)?;
        if host.is_none() && parts.version != Version::HTTP_10 {
            return Err(bad("the request has no Host header"));
        }
        let host = host.map(|host| host.to_str().unwrap_or_default());
        // A request may name a server in its first line as well.
        for named in parts.uri.authority().map(|authority| authority.as_str()).into_iter().chain(host) {
            if !self.is_own(named) {
                return Err(wrong(format!(
                    "this server is not called `{}`: --host NAME makes it answer to a name",
                    named.escape_default()
                )));
            }
        }
        let Some(origin) = one(parts, &ORIGIN).map_err(bad)? else { return Ok(None) };
        let text = origin.to_str().unwrap_or_default();
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            return Ok(Some(origin));
        }
        let message = format!(
            "web pages of `{}` may not call this server: --allow-origin ORIGIN lets them",
            text.escape_default()
        );
        Err(Refused::new(StatusCode::FORBIDDEN, "forbidden-origin", message))
    }

    /// Whether whoever sent it may call.
    pub(super) fn authorized(&self, parts: &Parts) -> Result<(), Refused> {
        let Some(token) = &self.token else { return Ok(()) };
        let wrong = |message: &str| Refused::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        let header = one(parts, &AUTHORIZATION).map_err(wrong)?;
        let header = header.ok_or_else(|| wrong("a token is needed: Authorization: Bearer TOKEN"))?.as_bytes();
        let is_bearer = header.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        if !is_bearer {
            return Err(wrong("a token is needed: Authorization: Bearer TOKEN"));
        }
        if token.is(header[7..].trim_ascii()) { Ok(()) } else { Err(wrong("this is not the server's token")) }
    }

    /// Whether `named`, with or without a port, is a name of this server that no stranger's DNS could have given it.
    fn is_own(&self, named: &str) -> bool {
        let Some(name) = without_port(named) else { return false };
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return !self.is_local || address.is_loopback();
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        name.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

/// The host of `host:port`, an IPv6 address in its brackets.
fn without_port(named: &str) -> Option<&str> {
    let (name, rest) = match named.starts_with('[') {
        true => named.split_at(named.find(']')? + 1),
        false => named.split_at(named.find(':').unwrap_or(named.len())),
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (!name.is_empty() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))).then_some(name)
}

/// A header that may be there once.
fn one<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a HeaderValue>, &'static str> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err("a header that may be there once is there twice");
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)], uri: &str) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn local() -> Access {
        Access::new("127.0.0.1:8000".parse().unwrap(), None)
    }

    #[test]
    fn a_local_server_answers_to_local_names_only() {
        let mut access = local();
        access.hosts.push("box.lan".to_owned());
        for (host, wanted) in [
            ("127.0.0.1:8000", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("localhost:9", true),
            ("LocalHost", true),
            ("localhost.", true),
            ("[::1]:8000", true),
            ("box.lan:8000", true),
            ("Box.LAN", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:80@evil.example", false),
            ("localhost:x", false),
            ("192.168.0.7:8000", false),
            ("[::1", false),
            ("[::2]", false),
            ("", false),
        ] {
            assert_eq!(access.addressed(&parts(&[("host", host)], "/")).is_ok(), wanted, "{host}");
        }
        let missing = access.addressed(&parts(&[], "/")).unwrap_err();
        assert_eq!(missing.status, StatusCode::BAD_REQUEST);
        assert!(access.addressed(&parts(&[("host", "localhost"), ("host", "localhost")], "/")).is_err(), "twice");
        let elsewhere = parts(&[("host", "localhost")], "http://evil.example/v1/components");
        assert!(access.addressed(&elsewhere).is_err(), "the first line names another server");
    }

    #[test]
    fn a_server_for_others_answers_to_addresses_and_the_names_it_was_given() {
        let mut access = Access::new("0.0.0.0:8000".parse().unwrap(), None);
        access.hosts.push("models.example.org".to_owned());
        for (host, wanted) in
            [("192.168.0.7:8000", true), ("models.example.org", true), ("localhost", true), ("evil.example", false)]
        {
            assert_eq!(access.addressed(&parts(&[("host", host)], "/")).is_ok(), wanted, "{host}");
        }
    }

    #[test]
    fn no_web_page_may_call_unless_it_was_allowed() {
        let mut access = local();
        let from = |origin: &str| parts(&[("host", "localhost"), ("origin", origin)], "/");
        for origin in ["https://evil.example", "null", "http://127.0.0.1:8000", ""] {
            assert_eq!(access.addressed(&from(origin)).unwrap_err().class, "forbidden-origin", "{origin}");
        }
        access.origins.push("https://app.example.org".to_owned());
        assert!(access.addressed(&from("https://app.example.org")).unwrap().is_some());
        assert!(access.addressed(&from("https://app.example.org.evil.example")).is_err());
    }

    #[test]
    fn a_token_is_needed_whole() {
        let mut access = local();
        access.token = Some(Token::new(" 0123456789abcdef\n").unwrap());
        let with = |header: &str| access.authorized(&parts(&[("authorization", header)], "/")).is_ok();
        assert!(with("Bearer 0123456789abcdef"));
        assert!(with("bearer  0123456789abcdef"));
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
        ] {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(access.authorized(&parts(&[], "/")).is_err());
        let twice = [("authorization", "Bearer 0123456789abcdef"); 2];
        assert!(access.authorized(&parts(&twice, "/")).is_err());
    }

    #[test]
    fn a_token_can_be_sent_and_not_be_guessed() {
        assert_eq!(Token::new("short"), Err(BadToken::Short));
        assert_eq!(Token::new(""), Err(BadToken::Short));
        assert_eq!(Token::new("0123456789 abcdef"), Err(BadToken::Characters));
        assert_eq!(Token::new("0123456789ábcdef"), Err(BadToken::Characters));
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one.1, other.1);
        assert_eq!(Token::new(&one.1), Ok(one.0));
    }
}
