//! Secrets: names whose values are not shown, and secrets within texts, as in `key=value`, headers and addresses.
//!
//! By name only, so a secret in an innocent variable is not found; rather too much is hidden than too little.

use std::borrow::Cow;

/// What stands for a secret.
pub const REDACTED: &str = "<redacted>";

/// Parts of names that make them secret wherever they stand.
const ANYWHERE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "credential",
    "apikey",
    "authorization",
    "cookie",
    "privatekey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "sessionid",
    "sessionkey",
    "connectionstring",
    "csrf",
    "xsrf",
    "bearer",
];
/// Whole words of names that do: `access_token`, `accessToken`, `DB_PWD`.
const WORDS: &[&str] =
    &["pwd", "pass", "pw", "dsn", "jwt", "auth", "session", "sessions", "otp", "pin", "creds", "sid"];
/// Ends of words that do: `accesstoken`.
const ENDS: &[&str] = &["token", "tokens"];

/// Longest name that is looked at, in bytes.
const NAME_BYTES: usize = 256;

/// True when the value of something of this name is not to be shown.
pub fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).take(NAME_BYTES).collect();
    let plain = plain.to_ascii_lowercase();
    ANYWHERE.iter().any(|part| plain.contains(part))
        || words(name).iter().any(|word| WORDS.contains(&&**word) || ENDS.iter().any(|end| word.ends_with(end)))
}

/// The words of `snake_case`, `kebab-case` and `camelCase`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars().take(NAME_BYTES) {
        let begins = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if begins || !c.is_ascii_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphabetic()) {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words
}

/// A text without the secrets in it. `is_cut`: more of it was not read, so that what may be a secret is not seen to its end.
pub fn redact(text: &str, is_cut: bool) -> Cow<'_, str> {
    // Nothing below finds anything without one of these.
    if !text.contains([':', '=']) && !contains_scheme(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = next_secret(rest, is_cut) {
        out.push_str(rest.get(..found.start).unwrap_or_default());
        out.push_str(REDACTED);
        rest = rest.get(found.end..).unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn contains_scheme(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| find_word(text, scheme).is_some())
}

/// Authentication schemes of HTTP, each before its secret.
const SCHEMES: &[&str] = &["bearer ", "basic "];

/// Shortest text after a scheme that is a secret, not a word of a sentence.
const SECRET_BYTES: usize = 8;

/// The first secret of a text, in bytes.
fn next_secret(text: &str, is_cut: bool) -> Option<std::ops::Range<usize>> {
    let found = [user_info(text, is_cut), named_value(text), after_scheme(text)];
    found.into_iter().flatten().min_by_key(|range| range.start)
}

/// `password` of `scheme://user:password@host`; also a user without one, as that may be a token.
fn user_info(text: &str, is_cut: bool) -> Option<std::ops::Range<usize>> {
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let authority = text.get(start..)?;
        let ends =
            authority.find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace() || c == '"' || c == '\'');
        // A password may have any of these unescaped, so the last `@` before a blank counts.
        let word = authority.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        let Some(end) = word.rfind('@') else {
            let open = is_cut && ends.is_none() && authority.contains(':');
            let open = open.then(|| start + authority.find(':').unwrap_or(0) + 1..text.len());
            match open.filter(|range| !range.is_empty()) {
                Some(range) => return Some(range),
                None => continue,
            }
        };
        let info = word.get(..end)?;
        // `https://host/path?mail=a@b` has none, nor has `https://host:80/?a@b`; but `//user:pa/ss@host` has.
        let slash = info.find(['/', '?', '#']).unwrap_or(info.len());
        let before = info.get(..slash).unwrap_or_default();
        let is_host = match before.split_once(':') {
            None => true,
            Some((_, port)) => port.bytes().all(|byte| byte.is_ascii_digit()),
        };
        if slash < info.len() && is_host {
            continue;
        }
        let from = info.find(':').map_or(0, |colon| colon + 1);
        let range = start + from..start + end;
        if !range.is_empty() && text.get(range.clone()) != Some(REDACTED) {
            return Some(range);
        }
    }
    None
}

/// The value of `name=value`, `name: value`, `"name": "value"` with a name that is secret.
fn named_value(text: &str) -> Option<std::ops::Range<usize>> {
    for (at, separator) in text.match_indices([':', '=']) {
        let before = text.get(..at)?.trim_end_matches([' ', '"', '\'']);
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name_at = before.rfind(|c| !is_part(c)).map_or(0, |i| i + before.get(i..).map_or(1, first_len));
        if !before.get(name_at..).is_some_and(|name| !name.is_empty() && is_secret_name(name)) {
            continue;
        }
        let name = before.get(name_at..)?;
        let after = text.get(at + 1..)?;
        let value = after.trim_start_matches([' ', '\t']);
        let start = at + 1 + (after.len() - value.len());
        let range = match value.chars().next() {
            None => continue,
            Some(quote @ ('"' | '\'')) => {
                let inner = value.get(1..)?;
                start + 1..start + 1 + closing(inner, quote)
            }
            // The rest of a header is its value.
            Some(_) if separator == ":" && is_header(name) => {
                start..start + value.find(['\r', '\n']).unwrap_or(value.len())
            }
            Some(_) => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'' | ')' | '}' | ']');
                start..start + value.find(ends).unwrap_or(value.len())
            }
        };
        let shown = text.get(range.clone()).unwrap_or_default();
        if !shown.is_empty() && !shown.starts_with(REDACTED) && !shown.starts_with("//") {
            return Some(range);
        }
    }
    None
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// Headers whose values have blanks and other separators in them.
fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("cookie") || name.ends_with("authorization")
}

/// Where a quoted text ends: at its quote, unless that is escaped.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// What follows `Bearer` or `Basic`.
fn after_scheme(text: &str) -> Option<std::ops::Range<usize>> {
    let secret = |scheme: &&str| {
        let start = find_word(text, scheme)? + scheme.len();
        let value = text.get(start..)?;
        let len = value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(value.len());
        (len >= SECRET_BYTES && !value.starts_with(REDACTED)).then(|| start..start + len)
    };
    SCHEMES.iter().filter_map(secret).min_by_key(|range| range.start)
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in [
            "password",
            "PASSWD",
            "db_password",
            "userPassword",
            "token",
            "access_token",
            "accessToken",
            "ACCESSTOKEN",
            "refresh-token",
            "client_secret",
            "api_key",
            "apikey",
            "X-Api-Key",
            "Authorization",
            "cookie",
            "Set-Cookie",
            "credentials",
            "private_key",
            "privateKey",
            "dsn",
            "SENTRY_DSN",
            "session",
            "session_id",
            "sessionid",
            "aws_secret_access_key",
            "pwd",
            "csrf_token",
            "passphrase",
            "auth",
            "_token",
            "self._password",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["tokenizer", "author", "passed", "key", "compass", "user", "self", "passenger", "spin", "", "é"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_within_texts_are_cut_out() {
        for (text, shown) in [
            ("postgres://app:hunter2@db/x", "postgres://app:<redacted>@db/x"),
            ("redis://:hunter2@cache:6379/0", "redis://:<redacted>@cache:6379/0"),
            ("https://hunter2@github.com/x", "https://<redacted>@github.com/x"),
            ("amqp://a:hun/ter2@h", "amqp://a:<redacted>@h"),
            ("a http://u:hunter2@h b http://u:hunter2@h", "a http://u:<redacted>@h b http://u:<redacted>@h"),
            ("host=db password=hunter2 user=x", "host=db password=<redacted> user=x"),
            ("password = 'hunter2 and more'", "password = '<redacted>'"),
            ("{\"api_key\": \"hunter2\", \"a\": 1}", "{\"api_key\": \"<redacted>\", \"a\": 1}"),
            ("https://h/?access_token=hunter2&a=1", "https://h/?access_token=<redacted>&a=1"),
            ("Authorization: Bearer hunter2\r\nHost: h", "Authorization: <redacted>\r\nHost: h"),
            ("Cookie: a=hunter2; b=hunter2", "Cookie: <redacted>"),
            ("curl -H Bearer hunter2hunter2", "curl -H Bearer <redacted>"),
            ("Server=s;Pwd=hunter2;", "Server=s;Pwd=<redacted>;"),
        ] {
            assert_eq!(redact(text, false), shown);
            assert!(!redact(text, true).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_secret_that_is_not_read_to_its_end_is_one_too() {
        assert_eq!(redact("postgres://app:hunt", true), "postgres://app:<redacted>");
        assert_eq!(redact("postgres://app:hunt", false), "postgres://app:hunt");
    }

    #[test]
    fn other_texts_stay() {
        for text in
            ["a: b", "https://host:80/path?q=a@b", "key=value", "x = 1", "12:30:59", "", "basic idea", "://", "@:=é:é="]
        {
            assert_eq!(redact(text, false), text);
        }
    }
}
