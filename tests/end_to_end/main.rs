//! Tests of whole servers: each starts `rotunda` as its users do, one process or many. A file has one subject.
//!
//! They are one binary, since each binary takes a link of all crates and 70 MB: `cargo nextest run --test end_to_end drain`.

mod access;
mod applications;
mod architecture;
mod bad_clients;
mod callback;
mod cluster;
mod demo_mode;
mod drain;
mod load;
mod main_job;
mod media_drain;
mod media_tasks;
mod mix_cluster;
mod mix_engine;
mod node_tree;
mod other_rooms;
mod programs_cluster;
mod recording_crash;
mod rtmp_ingest;
mod single_streams;
mod sixteen_cameras;
mod spread_room;
mod start_up;
mod store_away;
mod stream_ingest;
mod support;
mod task_callbacks;
mod tls;
mod versions;
mod whip;
