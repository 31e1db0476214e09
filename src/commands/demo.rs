//! `rotunda demo`: the main job end to end, with figures that a user can check.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rotunda_bus::Heard;
use rotunda_client::source::{AudioContent, SourceConfig};
use rotunda_client::{JoinError, Participant, ParticipantConfig, Statistics};
use rotunda_media::codec::VideoCodec;
use rotunda_proto::clock::Clock;
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, Health};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::join::TICKET_LIFE;
use super::mix::Api;
use super::{Quiet, asked_to_stop_within, load, sign, start_logging};
use crate::cli::{self, ConfigFile, MixStart, MixTarget, Role, Size, TemplateName};
use crate::server::{Server, console};
use crate::tenants::Purpose;

/// Name, number in the frame mark, codec.
///
/// There are three, because the visitor has the fourth camera seat of the room.
const PEOPLE: [(&str, u8, VideoCodec); 3] = [
    ("ann", 11, VideoCodec::H264),
    ("bob", 22, VideoCodec::Vp8),
    ("cat", 33, VideoCodec::H264),
];
/// Files are finished within this time after the mix has ended.
const FINISH_WITHIN: Duration = Duration::from_secs(30);

pub async fn run(arguments: cli::Demo) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::Yes);
    ensure!(
        !config.server.tls.is_on(),
        "the demo's participants connect to this server without TLS: run it without server.tls, or use `rotunda serve`"
    );
    let (port, rtmp) = (config.server.port, config.live.rtmp_port);
    let directory = config.recorder.directory.clone();
    let avatar_port = config.avatar.port;
    let grpc = format!("http://127.0.0.1:{}", config.signaling.api.grpc_port);
    println!("Starting the server ...");
    let console = console::url(&config);
    let server = Server::start(config, &Role::ROOMS, Purpose::Demo).await?;
    let application = server.demo.clone().context("the demo's application")?;

    let stop = CancellationToken::new();
    let mut people = Vec::new();
    for (index, (name, mark, codec)) in PEOPLE.into_iter().enumerate() {
        let clip = arguments.clip.get(index % arguments.clip.len().max(1)).cloned();
        let source = SourceConfig {
            name: name.to_owned(),
            mark,
            codec,
            fps: 30,
            size: SourceConfig::SIZE,
            clip,
            as_coded: false,
            audio: AudioContent::Speech,
        };
        let user = name.parse().context("a participant's name")?;
        let participant = Participant::join(ParticipantConfig {
            url: format!("ws://127.0.0.1:{port}/ws"),
            app: application.sdk_app_id,
            user_sig: sign(&application, &user, TICKET_LIFE),
            user,
            room: arguments.room.clone(),
            record_id: None,
            stream_id: None,
            source,
        })
        .await
        .with_context(|| format!("let {name} join"))?;
        println!("{name} has joined room {} ({codec:?})", arguments.room);
        people.push(Person {
            statistics: participant.statistics(),
            task: tokio::spawn(participant.run(stop.clone())),
        });
    }

    let mut events = server.bus.subscribe(EVENTS_SUBJECT).await?;
    let stream = format!("demo-{}", arguments.room);
    let mix = MixStart {
        target: MixTarget {
            file: ConfigFile { config: None },
            room: arguments.room.clone(),
            url: None,
        },
        stream_id: Some(stream.parse().context("the room's name does not fit a stream id")?),
        record_id: Some(stream.parse().context("the room's name does not fit a record id")?),
        template: TemplateName::Grid,
        size: Size {
            width: 1280,
            height: 720,
        },
        fps: 15,
        video_kbps: 1500,
        audio_kbps: 96,
        push: None,
        also: Vec::new(),
    };
    let mut api = Api::connect(&grpc, &application).await?;
    let known = files(&directory);
    api.start(&mix).await.context("start the mix")?;
    println!(
        "\n  Demo room   http://localhost:{port}/?room={room}   (open it, and you are in the mix as the fourth)\n\
         \x20 Live        http://localhost:{port}/live/{stream}.flv\n\
         \x20             http://localhost:{port}/live/{stream}.m3u8\n\
         \x20             rtmp://localhost:{rtmp}/live/{stream}\n\
         \x20 Player      http://localhost:{port}/player.html?stream={stream}&type=flv\n\
         \x20 Calls       http://localhost:{port}/call.html   (open it twice, and call yourself)\n\
         \x20 Console     {console}   ({password})\n\
         \x20 Recording   {directory}/*/{stream}_*.mp4\n\
         \x20 Avatar      ROTUNDA__SERVER__PORT=8081 rotunda serve --roles avatar   (then open http://localhost:{avatar}/)\n",
        room = arguments.room,
        directory = directory.display(),
        avatar = avatar_port,
        password = match &server.console_password {
            Some(password) => format!("password {password}"),
            None => "`rotunda console password` sets a new password".to_owned(),
        },
    );

    let clock = Clock;
    let began = clock.now();
    let mut health = Health::default();
    let mut every_second = interval(Duration::from_secs(1));
    let asked = asked_to_stop_within(arguments.seconds);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            () = &mut asked => break,
            heard = events.next() => {
                let event = match heard {
                    Heard::Message(message) => message.parse(),
                    Heard::Lost => None,
                };
                match event {
                    Some(Event::Health { health: now, .. }) => health = now,
                    Some(Event::Stopped { reason, .. }) => bail!("the mix has ended: {reason:?}"),
                    _ => {}
                }
            }
            _ = every_second.tick() => {
                let elapsed = clock.now().saturating_duration_since(began).as_secs();
                progress(elapsed, &health, &people)?;
            }
        }
    }

    println!("\n\nFinishing the files ...");
    api.stop(&arguments.room).await.context("stop the mix")?;
    stop.cancel();
    for person in people {
        if let Err(error) = person.task.await? {
            eprintln!("a participant left early: {:#}", anyhow::Error::from(error));
        }
    }
    let made = wait_for_files(&directory, &known).await;
    server.finish().await;
    summary(&made, &health);
    if made
        .iter()
        .any(|file| file.extension().is_some_and(|ending| ending == "mp4"))
    {
        Ok(())
    } else {
        bail!("no recording was made")
    }
}

struct Person {
    statistics: watch::Receiver<Statistics>,
    task: JoinHandle<Result<(), JoinError>>,
}

/// Prints the progress line over the previous one.
fn progress(seconds: u64, health: &Health, people: &[Person]) -> std::io::Result<()> {
    let connected = people
        .iter()
        .filter(|person| person.statistics.borrow().connected)
        .count();
    let sent: u64 = people.iter().map(|person| person.statistics.borrow().bytes_sent).sum();
    let rate = sent * 8 / 1000 / seconds.max(1);
    print!(
        "\r{:02}:{:02}  participants {connected}/{}  in {rate} kbit/s  |  mix: {} videos live, {:.1} fps, \
         {:.0} + {:.0} kbit/s, tick {:.0} ms, late {}   ",
        seconds / 60,
        seconds % 60,
        people.len(),
        health.live_videos,
        health.fps,
        health.video_kbps,
        health.audio_kbps,
        health.tick_ms_max,
        health.late_ticks,
    );
    std::io::stdout().flush()
}

/// Finished MP4 files and HLS playlists, in the folders of their recordings.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries(directory)
        .flat_map(|folder| entries(&folder.path()))
        .map(|file| file.path())
        .filter(|path| is_finished(path))
        .collect();
    files.sort();
    files
}

/// The folder also has init segments and the growing playlist, which do not count.
fn is_finished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_mp4 = name.ends_with(".mp4") && !name.starts_with("init-");
    is_mp4 || name.ends_with(".m3u8") && name != "index.m3u8"
}

async fn wait_for_files(directory: &Path, known: &[PathBuf]) -> Vec<PathBuf> {
    let clock = Clock;
    let until = clock.now() + FINISH_WITHIN;
    let mut look = interval(Duration::from_millis(200));
    loop {
        look.tick().await;
        let mut made = files(directory);
        made.retain(|file| !known.contains(file));
        if made.len() >= 2 || clock.now() >= until {
            return made;
        }
    }
}

fn summary(made: &[PathBuf], health: &Health) {
    println!(
        "\nSummary: {:.1} s of program, {} late ticks",
        health.program_ms as f64 / 1000.0,
        health.late_ticks
    );
    for file in made {
        println!("\n  {}", file.display());
        let arguments = [
            "-v",
            "error",
            "-show_entries",
            "format=duration,size:stream=codec_name,width,height,avg_frame_rate",
        ];
        let checked = Command::new("ffprobe")
            .args(arguments)
            .args(["-of", "compact"])
            .arg(file)
            .output();
        match checked {
            Ok(output) => {
                for line in String::from_utf8_lossy(&output.stdout).lines() {
                    println!("    {line}");
                }
            }
            Err(_) => println!("    (install ffmpeg to see the streams in the file)"),
        }
        println!(
            "  check it yourself: ffprobe -v error -show_format -show_streams '{}'",
            file.display()
        );
    }
}
