//! The dependency descriptor: a header extension that says which layer a frame belongs to and which frames it needs
//! (AV1 RTP specification, appendix A). Codec-independent; AV1 cannot be forwarded by layers without it.

mod bits;
mod extension;

use std::sync::Arc;

use super::layers::{LayerFrame, OperatingPoint, OperatingPoints};
use bits::{Reader, Writer};
pub use extension::{Carried, DependencyExtension, URI};

/// The structure has at most so many templates, as their ids have 6 bits.
const MOST_TEMPLATES: usize = 64;

/// The role of a frame for a decode target (A.4), two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    NotPresent = 0,
    Discardable = 1,
    /// All later frames of the target can be decoded by whom can decode this one.
    Switch = 2,
    Required = 3,
}

/// The indications of a frame, by decode target: the first in the lowest two bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indications(pub u64);

impl Indications {
    pub fn get(self, target: u8) -> Indication {
        match self.0 >> (2 * u32::from(target & 31)) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    fn read(bits: &mut Reader<'_>, targets: u8) -> Option<Self> {
        let mut all = Self::default();
        for target in 0..targets {
            all.0 |= u64::from(bits.take(2)?) << (2 * u32::from(target));
        }
        Some(all)
    }

    fn write(self, targets: u8, out: &mut Writer<'_>) {
        (0..targets).for_each(|target| out.put(2, self.get(target) as u32));
    }
}

/// The values that frames of one kind share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    pub spatial: u8,
    pub temporal: u8,
    pub indications: Indications,
    /// How many frames back each needed one is, 1 to 16.
    pub references: Vec<u8>,
    /// How many frames back each chain's previous frame is, 0 to 15; as many as there are chains.
    pub chains: Vec<u8>,
}

/// Pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    pub width: u32,
    pub height: u32,
}

/// The layers of a stream, from a keyframe on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Id of the first template, 0 to 63.
    pub first_template: u8,
    /// 1 to 32.
    pub targets: u8,
    /// In the order of their layers: spatial first, then temporal.
    pub templates: Vec<Template>,
    /// At most as many as decode targets.
    pub chains: u8,
    /// By decode target: its chain. Empty: no chains.
    pub protected_by: Vec<u8>,
    /// By spatial layer. Empty: not told.
    pub resolutions: Vec<Resolution>,
}

/// The descriptor of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub begins_frame: bool,
    pub ends_frame: bool,
    pub template: u8,
    /// Of the frame; wraps at 16 bits.
    pub frame: u16,
    /// By which `template` is to be understood.
    pub structure: Arc<Structure>,
    /// The packet carries the structure: it begins a coded video sequence.
    pub carries_structure: bool,
    /// Which decode targets are sent, from this frame on; bit 0 is the first.
    pub active: Option<u32>,
    /// The values that differ from the template.
    pub indications: Option<Indications>,
    /// 1 to 4096 each.
    pub references: Option<Vec<u16>>,
    pub chains: Option<Vec<u8>>,
}

impl Structure {
    fn read(bits: &mut Reader<'_>) -> Option<Self> {
        let first_template = bits.take(6)? as u8;
        let targets = bits.take(5)? as u8 + 1;
        let mut templates = vec![Template::default()];
        loop {
            let last = templates.last()?;
            let (spatial, temporal) = match bits.take(2)? {
                0 => (last.spatial, last.temporal),
                1 => (last.spatial, last.temporal + 1),
                2 => (last.spatial + 1, 0),
                _ => break,
            };
            // Two bits of spatial and three of temporal layers is all that there is (A.8.2.3).
            if templates.len() == MOST_TEMPLATES || spatial > 3 || temporal > 7 {
                return None;
            }
            templates.push(Template {
                spatial,
                temporal,
                ..Template::default()
            });
        }
        for template in &mut templates {
            template.indications = Indications::read(bits, targets)?;
        }
        for template in &mut templates {
            while bits.take(1)? == 1 {
                template.references.push(bits.take(4)? as u8 + 1);
            }
        }
        let chains = bits.take_below(u32::from(targets) + 1)? as u8;
        let mut protected_by = Vec::new();
        if chains > 0 {
            for _ in 0..targets {
                protected_by.push(bits.take_below(chains.into())? as u8);
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chains.push(bits.take(4)? as u8);
                }
            }
        }
        let mut resolutions = Vec::new();
        if bits.take(1)? == 1 {
            for _ in 0..=templates.last()?.spatial {
                let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
                resolutions.push(Resolution { width, height });
            }
        }
        Some(Self {
            first_template,
            targets,
            templates,
            chains,
            protected_by,
            resolutions,
        })
    }

    fn write(&self, out: &mut Writer<'_>) {
        out.put(6, self.first_template.into());
        out.put(5, u32::from(self.targets) - 1);
        for pair in self.templates.windows(2) {
            let next = if pair[1].spatial > pair[0].spatial {
                2
            } else {
                u32::from(pair[1].temporal > pair[0].temporal)
            };
            out.put(2, next);
        }
        out.put(2, 3);
        for template in &self.templates {
            template.indications.write(self.targets, out);
        }
        for template in &self.templates {
            for back in &template.references {
                out.put(1, 1);
                out.put(4, u32::from(*back) - 1);
            }
            out.put(1, 0);
        }
        out.put_below(u32::from(self.targets) + 1, self.chains.into());
        for chain in &self.protected_by {
            out.put_below(self.chains.into(), (*chain).into());
        }
        for back in self.templates.iter().flat_map(|template| &template.chains) {
            out.put(4, (*back).into());
        }
        out.put(1, u32::from(!self.resolutions.is_empty()));
        for Resolution { width, height } in &self.resolutions {
            out.put(16, width - 1);
            out.put(16, height - 1);
        }
    }

    fn template(&self, id: u8) -> Option<&Template> {
        let index = (id + 64 - self.first_template) % 64;
        self.templates.get(usize::from(index))
    }

    /// The operating point that a decode target is: the highest layers of the frames in it (A.8.2.3, decode_target_layers).
    pub fn point(&self, target: u8) -> OperatingPoint {
        let mut point = OperatingPoint::default();
        for template in &self.templates {
            if template.indications.get(target) != Indication::NotPresent {
                point.spatial = point.spatial.max(template.spatial);
                point.temporal = point.temporal.max(template.temporal);
            }
        }
        point
    }

    /// The decode targets that need nothing above `point`; bit 0 is the first.
    pub fn targets_within(&self, point: OperatingPoint) -> u32 {
        let within = (0..self.targets).filter(|target| self.point(*target).is_within(point));
        within.fold(0, |mask, target| mask | 1 << target)
    }

    /// Frame height of a spatial layer.
    pub fn height(&self, spatial: u8) -> Option<u16> {
        let resolution = self.resolutions.get(usize::from(spatial))?;
        u16::try_from(resolution.height).ok()
    }
}

impl Dependency {
    /// `known`: the newest structure of the stream. None: malformed, or of a structure that is not known.
    pub fn read(bytes: &[u8], known: Option<&Arc<Structure>>) -> Option<Self> {
        let mut bits = Reader::new(bytes);
        let (begins_frame, ends_frame) = (bits.take(1)? == 1, bits.take(1)? == 1);
        let template = bits.take(6)? as u8;
        let frame = bits.take(16)? as u16;
        let mut flags = 0;
        if bytes.len() > 3 {
            flags = bits.take(5)?;
        }
        let has = |flag: u32| flags & flag != 0;
        let carries_structure = has(0x10);
        let structure = if carries_structure {
            Arc::new(Structure::read(&mut bits)?)
        } else {
            Arc::clone(known?)
        };
        let active = if has(0x08) {
            Some(bits.take(structure.targets.into())?)
        } else {
            None
        };
        structure.template(template)?;
        let mut found = Self {
            begins_frame,
            ends_frame,
            template,
            frame,
            carries_structure,
            active,
            indications: None,
            references: None,
            chains: None,
            structure,
        };
        if has(0x04) {
            found.indications = Some(Indications::read(&mut bits, found.structure.targets)?);
        }
        if has(0x02) {
            let mut references = Vec::new();
            loop {
                let size = bits.take(2)?;
                if size == 0 {
                    break;
                }
                references.push(bits.take(4 * size)? as u16 + 1);
            }
            found.references = Some(references);
        }
        if has(0x01) {
            let chains = (0..found.structure.chains).map(|_| bits.take(8).map(|back| back as u8));
            found.chains = Some(chains.collect::<Option<_>>()?);
        }
        Some(found)
    }

    /// The decode targets that are sent and need nothing above `point`.
    pub fn active_within(&self, point: OperatingPoint) -> u32 {
        self.structure.targets_within(point) & self.active.unwrap_or(u32::MAX)
    }

    /// Bytes that [`write`](Self::write) appends.
    pub fn length(&self, active: Option<u32>) -> usize {
        let active = active.or(self.active);
        if !self.is_extended(active) {
            return 3;
        }
        let mut bits = Writer::counting();
        self.write_extended(active, &mut bits);
        3 + bits.bytes()
    }

    /// Appends the descriptor with another frame number and, where it is not None, other active decode targets.
    pub fn write(&self, frame: u16, active: Option<u32>, out: &mut Vec<u8>) {
        let begins = if self.begins_frame { 0x80 } else { 0 };
        let ends = if self.ends_frame { 0x40 } else { 0 };
        let [high, low] = frame.to_be_bytes();
        out.extend_from_slice(&[begins | ends | self.template & 0x3f, high, low]);
        let active = active.or(self.active);
        if self.is_extended(active) {
            self.write_extended(active, &mut Writer::new(out));
        }
    }

    fn write_extended(&self, active: Option<u32>, bits: &mut Writer<'_>) {
        bits.put(1, self.carries_structure.into());
        bits.put(1, active.is_some().into());
        bits.put(1, self.indications.is_some().into());
        bits.put(1, self.references.is_some().into());
        bits.put(1, self.chains.is_some().into());
        if self.carries_structure {
            self.structure.write(bits);
        }
        if let Some(active) = active {
            bits.put(self.structure.targets.into(), active);
        }
        if let Some(indications) = self.indications {
            indications.write(self.structure.targets, bits);
        }
        if let Some(references) = &self.references {
            for back in references {
                let value = u32::from(*back) - 1;
                let size = if value < 1 << 4 {
                    1
                } else if value < 1 << 8 {
                    2
                } else {
                    3
                };
                bits.put(2, size);
                bits.put(4 * size, value);
            }
            bits.put(2, 0);
        }
        for back in self.chains.iter().flatten() {
            bits.put(8, (*back).into());
        }
    }

    fn is_extended(&self, active: Option<u32>) -> bool {
        let differs = self.indications.is_some() || self.references.is_some() || self.chains.is_some();
        self.carries_structure || active.is_some() || differs
    }

    /// Where the packet stands among the layers.
    pub fn layer_frame(&self) -> LayerFrame {
        let Some(template) = self.structure.template(self.template) else {
            return LayerFrame::default();
        };
        let indications = self.indications.unwrap_or(template.indications);
        let mut switches = OperatingPoints::default();
        let templates = self.structure.templates.iter();
        let every = templates.map(|template| template.temporal).max().unwrap_or(0);
        for target in 0..self.structure.targets {
            if indications.get(target) == Indication::Switch {
                let mut point = self.structure.point(target);
                switches.insert(point);
                if point.temporal == every {
                    point.temporal = OperatingPoint::EVERY_FRAME;
                    switches.insert(point);
                }
            }
        }
        LayerFrame {
            point: OperatingPoint {
                spatial: template.spatial,
                temporal: template.temporal,
            },
            begins: self.begins_frame,
            ends: self.ends_frame,
            switches,
            needs_base_alone: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
