//! A backend that receives callbacks.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The URL of a backend, and the bodies that it is sent.
pub fn receiver() -> (String, mpsc::Receiver<Value>) {
    receiver_that(|_, _| {})
}

/// As [`receiver`]. Events with a group must have the header `Sign` of this key.
pub fn receiver_of_signed(key: &'static str) -> (String, mpsc::Receiver<Value>) {
    receiver_that(move |head, body| {
        if !body.contains("EventGroupId") {
            return;
        }
        let sign = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sign").then(|| value.trim().to_owned())
        });
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        assert_eq!(sign, Some(STANDARD.encode(mac.finalize().into_bytes())), "{body}");
    })
}

/// `check`: of the head and the body of each request. When it panics, the receiver is gone and the test waits in vain.
fn receiver_that(check: impl Fn(&str, &str) + Send + 'static) -> (String, mpsc::Receiver<Value>) {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/files", backend.local_addr().unwrap());
    let (told, calls) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in backend.incoming() {
            let mut socket = socket.unwrap();
            let (head, body) = read_request(&mut socket);
            check(&head, &body);
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            if told.send(serde_json::from_str(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, calls)
}

/// The configuration of an application whose backend is at this URL.
pub fn application(url: &str) -> String {
    format!(
        "[[applications]]\nsdk_app_id = 1400000777\nsecret_key = \"k\"\nsecret_id = \"AKIDtest\"\napi_secret = \"s\"\n\
         callback_url = \"{url}\"\ncallback_key = \"testkey\"\n"
    )
}

/// The head and the body of one HTTP request.
fn read_request(socket: &mut impl Read) -> (String, String) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}
