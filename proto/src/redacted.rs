//! Customers' URLs in logs: a push address has its key in the path, a callback address often a token in path or query.

use std::fmt;

use url::Url;

/// Prints a URL's scheme, host and port, and `***` for the rest: `rtmp://push.example:1935/***`.
#[derive(Clone, Copy)]
pub struct RedactedUrl<'a>(pub &'a str);

impl fmt::Display for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(self.0).ok();
        let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
            return f.write_str("***");
        };
        write!(f, "{}://{host}", url.scheme())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        match url.path().len() > 1 || url.query().is_some() {
            true => f.write_str("/***"),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_a_log_tells_the_host_and_no_secret() {
        for (url, printed) in [
            (
                "rtmp://push.example:1936/live/s1?txSecret=a&txTime=b",
                "rtmp://push.example:1936/***",
            ),
            ("https://user:password@hooks.example/t0ken", "https://hooks.example/***"),
            ("https://hooks.example/?key=1", "https://hooks.example/***"),
            ("https://hooks.example", "https://hooks.example"),
            ("rtmp://[2001:db8::1]/live/key", "rtmp://[2001:db8::1]/***"),
            ("no url with a secret", "***"),
        ] {
            assert_eq!(RedactedUrl(url).to_string(), printed);
            assert_eq!(format!("{:?}", RedactedUrl(url)), printed);
        }
    }
}
