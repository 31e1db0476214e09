//! The applications that this node serves, by id and by API key.

use rotunda_proto::config::Application;
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

    pub fn first(&self) -> Option<&Application> {
        self.0.first()
    }
}
