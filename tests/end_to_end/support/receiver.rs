//! A backend that receives callbacks.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::Value;

/// The URL of a backend, and the bodies that it is sent.
pub fn receiver() -> (String, mpsc::Receiver<Value>) {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/files", backend.local_addr().unwrap());
    let (told, calls) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in backend.incoming() {
            let mut socket = socket.unwrap();
            let body = read_body(&mut socket);
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

/// The body of one HTTP request.
fn read_body(socket: &mut impl Read) -> String {
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
                return body.to_owned();
            }
        }
    }
}
