//! Uploads and fetches against a real HTTP server on loopback.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use rotunda_bus::{ClusterNode, InProcess};
use rotunda_proto::mix::{AudioEncode, Layout, Watermark};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;

fn app() -> SdkAppId {
    7.try_into().unwrap()
}

fn png(side: u32) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(side, side, image::Rgb([255, 0, 0]));
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

async fn pictures(networks: &[&str]) -> Pictures {
    let mut config = Config::default();
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    config.process.outbound = AllowedNetworks::new(networks);
    let node = ClusterNode::alone(Arc::new(InProcess::new()), "node-1".parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    Pictures::new(&Shared::for_test(config, node, Vec::new(), store)).unwrap()
}

fn spec(layout: Layout) -> MixSpec {
    MixSpec {
        room: rotunda_proto::ids::RoomKey {
            app: app(),
            room: "1".parse().unwrap(),
        },
        stream_id: "s".parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: None,
        layout,
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

/// A server of `/red.png`, `/large.png`, `/text.png` and `/moved.png`.
async fn server() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let moved = || async { axum::response::Redirect::temporary("/red.png") };
    let router = Router::new()
        .route("/red.png", get(|| async { png(16) }))
        .route("/large.png", get(|| async { vec![0_u8; MAX_BYTES + 1] }))
        .route("/text.png", get(|| async { "no picture" }))
        .route("/moved.png", get(moved));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/").parse().unwrap()
}

#[tokio::test]
async fn an_uploaded_picture_is_listed_changed_and_deleted() {
    let pictures = pictures(&[]).await;
    let place = PicturePlace {
        width: 1,
        height: 2,
        x: 3,
        y: 4,
    };
    let id = pictures.create(app(), png(16), "PNG", place).await.unwrap() as i64;
    let listed = pictures.uploaded(app()).await.unwrap();
    assert_eq!((listed[0].id, place_of(&listed[0].placement)), (id, place));
    let moved = |place| PicturePlace { x: 9, ..place };
    pictures.modify(app(), id, moved).await.unwrap();
    let listed = pictures.uploaded(app()).await.unwrap();
    assert_eq!(place_of(&listed[0].placement), moved(place));
    let layout = Layout {
        background: Some(PictureId::new(id)),
        ..Layout::default()
    };
    pictures
        .settle(&mut spec(layout.clone()), PictureUrls::default())
        .await
        .unwrap();
    pictures.delete(app(), id).await.unwrap();
    let gone = pictures.delete(app(), id).await.unwrap_err();
    assert_eq!(gone.code, "InvalidParameter.PictureNotFound");
    let missing = pictures
        .settle(&mut spec(layout), PictureUrls::default())
        .await
        .unwrap_err();
    assert_eq!(missing.code, "ResourceNotFound");
    assert!(missing.message.contains(&id.to_string()), "{}", missing.message);
}

#[tokio::test]
async fn uploads_that_are_no_picture_of_their_suffix_are_refused() {
    let pictures = pictures(&[]).await;
    for (file, suffix, code) in [
        (b"no picture".to_vec(), "png", "InvalidParameter.CheckContentFailed"),
        (vec![0; MAX_BYTES + 1], "png", "InvalidParameter.CheckContentFailed"),
        (png(5000), "png", "InvalidParameter.CheckContentFailed"),
        (png(16), "jpg", "InvalidParameter.CheckSuffixFailed"),
        (png(16), "gif", "InvalidParameter.CheckSuffixFailed"),
    ] {
        let refused = pictures.create(app(), file, suffix, PicturePlace::default()).await;
        assert_eq!(refused.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn pictures_of_urls_are_fetched_once_and_become_ids() {
    let pictures = pictures(&["127.0.0.0/8"]).await;
    let url = server().await.join("red.png").unwrap();
    let watermark = Watermark {
        picture: PictureId::new(0),
        x: 0,
        y: 0,
        width: 10,
        height: 10,
    };
    let urls = PictureUrls {
        background: Some(url.clone()),
        watermark: Some(url),
    };
    let mut spec = spec(Layout {
        watermark: Some(watermark),
        ..Layout::default()
    });
    for _ in 0..2 {
        pictures.settle(&mut spec, urls.clone()).await.unwrap();
    }
    let background = spec.layout.background.unwrap();
    assert_eq!(spec.layout.watermark.unwrap().picture, background);
    let kept = pictures.store.picture(app(), background.get()).await.unwrap().unwrap();
    assert_eq!(kept.content, png(16));
    assert_eq!(pictures.list(app()).await.unwrap().len(), 1);
    assert!(pictures.uploaded(app()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_address_without_a_usable_picture_is_refused_with_the_reason() {
    let pictures = pictures(&["127.0.0.0/8"]).await;
    let server = server().await;
    for (path, reason) in [
        ("large.png", "larger than"),
        ("text.png", "not a PNG"),
        ("moved.png", "307"),
        ("nothing.png", "404"),
    ] {
        let urls = PictureUrls {
            background: Some(server.join(path).unwrap()),
            watermark: None,
        };
        let refused = pictures.settle(&mut spec(Layout::default()), urls).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameter.BackgroundImageUrl");
        assert!(refused.message.contains(reason), "{}", refused.message);
    }
}

#[tokio::test]
async fn an_address_in_an_inner_network_is_not_fetched() {
    let pictures = pictures(&[]).await;
    for host in ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/"] {
        let urls = PictureUrls {
            background: Some(host.parse().unwrap()),
            watermark: None,
        };
        let refused = pictures.settle(&mut spec(Layout::default()), urls).await.unwrap_err();
        assert!(
            refused.message.contains("server.outbound_networks"),
            "{}",
            refused.message
        );
    }
}
