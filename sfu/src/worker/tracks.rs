//! The tracks of a worker: those that are published here, and replicas of those that are published at other workers.

use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

use crate::ingress::packet::StreamId;
use crate::ingress::stream::Stream;
use crate::ingress::track::Track;
use crate::slab::{Slab, TrackIndex, WorkerIndex};

pub struct Tracks {
    slab: Slab<TrackIndex, Track>,
    streams: HashMap<StreamId, Stream>,
    next_stream: u64,
    /// Tracks of other workers: the place there, and the replica's here.
    replicas: HashMap<(WorkerIndex, TrackIndex), TrackIndex>,
}

impl Tracks {
    /// `first_stream`: so far from those of other workers that no number is used twice.
    pub fn new(first_stream: u64) -> Self {
        Self {
            slab: Slab::default(),
            streams: HashMap::new(),
            next_stream: first_stream,
            replicas: HashMap::new(),
        }
    }

    #[inline]
    pub fn get(&self, track: TrackIndex) -> Option<&Track> {
        self.slab.get(track)
    }

    #[inline]
    pub fn get_mut(&mut self, track: TrackIndex) -> Option<&mut Track> {
        self.slab.get_mut(track)
    }

    pub fn add(&mut self, track: Track) -> TrackIndex {
        self.slab.insert(track)
    }

    /// Takes a track out, with its streams. Its place is used again: nobody may keep the index.
    pub fn remove(&mut self, track: TrackIndex) -> Option<Track> {
        let removed = self.slab.remove(track)?;
        for stream in removed.streams() {
            self.streams.remove(stream);
        }
        Some(removed)
    }
}

/// Streams.
impl Tracks {
    #[inline]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    #[inline]
    pub fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&id)
    }

    /// A stream to change, and the track that it is of.
    #[inline]
    pub fn stream_and_track(&mut self, id: StreamId) -> Option<(&mut Stream, Option<&Track>)> {
        let stream = self.streams.get_mut(&id)?;
        let track = self.slab.get(stream.track());
        Some((stream, track))
    }

    /// The streams of a track that are known.
    pub fn streams_of<'a>(&'a self, track: &'a Track) -> impl Iterator<Item = (StreamId, &'a Stream)> {
        track.streams().iter().filter_map(|id| Some((*id, self.stream(*id)?)))
    }

    /// An id for a stream that is published here.
    pub fn next_stream_id(&mut self) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream = self.next_stream.wrapping_add(1);
        id
    }

    pub fn add_stream(&mut self, id: StreamId, stream: Stream) {
        if let Some(track) = self.slab.get_mut(stream.track()) {
            track.add_stream(id);
        }
        self.streams.insert(id, stream);
    }

    /// Answers the track that the stream was of.
    pub fn remove_stream(&mut self, id: StreamId) -> Option<&Track> {
        let stream = self.streams.remove(&id)?;
        let track = self.slab.get_mut(stream.track())?;
        track.remove_stream(id);
        Some(track)
    }

    /// When a stream's last packet came.
    pub fn last_packet(&self, id: StreamId) -> Option<Instant> {
        self.stream(id).map(Stream::last_packet)
    }
}

/// Replicas.
impl Tracks {
    /// The replica of another worker's track.
    pub fn replica_of(&self, worker: WorkerIndex, track: TrackIndex) -> Option<TrackIndex> {
        self.replicas.get(&(worker, track)).copied()
    }

    pub fn add_replica(&mut self, worker: WorkerIndex, there: TrackIndex, track: Track) -> TrackIndex {
        let here = self.add(track);
        self.replicas.insert((worker, there), here);
        here
    }

    /// A replica's packets come from another worker from now on, where the track is `there`.
    pub fn move_replica(&mut self, here: TrackIndex, worker: WorkerIndex, there: TrackIndex) {
        self.replicas.retain(|_, replica| *replica != here);
        self.replicas.insert((worker, there), here);
        if let Some(track) = self.get_mut(here) {
            track.move_replica(worker, there);
        }
    }

    pub fn remove_replica(&mut self, here: TrackIndex) -> Option<Track> {
        self.replicas.retain(|_, replica| *replica != here);
        self.remove(here)
    }

    pub fn replicas(&self) -> Vec<TrackIndex> {
        self.replicas.values().copied().collect()
    }
}

#[cfg(test)]
impl Tracks {
    pub fn remembered(&self) -> [(&'static str, usize); 3] {
        [
            ("tracks", self.slab.count()),
            ("streams", self.streams.len()),
            ("replicas", self.replicas.len()),
        ]
    }

    /// Entries, free ones included.
    pub fn capacity(&self) -> usize {
        self.slab.capacity()
    }
}
