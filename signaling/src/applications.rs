//! The applications that this node serves, by id and by API key.

use rotunda_proto::config::{Application, Microphones};
use rotunda_proto::ids::SdkAppId;

#[derive(Debug)]
pub struct Applications(Vec<Application>);

impl Applications {
    pub fn new(applications: Vec<Application>) -> Self {
        Self(applications)
    }

    pub fn by_id(&self, id: SdkAppId) -> Option<&Application> {
        self.0.iter().find(|application| application.sdk_app_id == id)
    }

    pub fn by_secret_id(&self, secret_id: &str) -> Option<&Application> {
        self.0.iter().find(|application| application.secret_id == secret_id)
    }

    /// How many may speak in a room of this application.
    pub fn microphones(&self, id: SdkAppId) -> Microphones {
        self.by_id(id)
            .map(|application| application.max_microphones)
            .unwrap_or_default()
    }

    pub fn first(&self) -> Option<&Application> {
        self.0.first()
    }
}
