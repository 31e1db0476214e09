//! The applications of the server, and the one that the demo back end serves. Pure.

use anyhow::ensure;
use rotunda_proto::config::Application;

use crate::config::Config;

/// The command that started the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `rotunda serve`: the configured applications. Without any it runs in demo mode, unless demo mode is turned
    /// off.
    Serve,
    /// `rotunda demo`: the generated application in addition to the configured ones.
    Demo,
}

#[derive(Debug)]
pub struct Tenants {
    pub applications: Vec<Application>,
    /// Anybody gets a ticket of this application. It is always the generated one, never a configured one.
    pub demo: Option<Application>,
}

impl Tenants {
    /// `generated`: the application that the first start made, with random keys.
    ///
    /// Errors: a configured application has an id or key of the generated one, which the demo needs.
    pub fn new(config: &Config, generated: Application, purpose: Purpose) -> anyhow::Result<Self> {
        let mut applications = config.applications.clone();
        let is_demo = match purpose {
            Purpose::Serve if applications.is_empty() => config.signaling.demo,
            Purpose::Serve => {
                return Ok(Self {
                    applications,
                    demo: None,
                });
            }
            Purpose::Demo => true,
        };
        let clashes =
            |other: &Application| other.sdk_app_id == generated.sdk_app_id || other.secret_id == generated.secret_id;
        ensure!(
            !applications.iter().any(clashes),
            "the demo makes application {} of its own, but an application with this number or key is configured: run the \
             demo without it",
            generated.sdk_app_id
        );
        applications.push(generated.clone());
        Ok(Self {
            applications,
            demo: is_demo.then_some(generated),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(id: u32) -> Application {
        Application {
            secret_id: format!("AKID{id}"),
            ..Application::new(id.try_into().unwrap(), "key")
        }
    }

    fn tenants(configured: &[u32], demo: bool, purpose: Purpose) -> anyhow::Result<(Vec<u32>, Option<u32>)> {
        let mut config = Config {
            applications: configured.iter().copied().map(application).collect(),
            ..Config::default()
        };
        config.signaling.demo = demo;
        let Tenants { applications, demo } = Tenants::new(&config, application(9), purpose)?;
        let ids = applications.iter().map(|application| application.sdk_app_id.get());
        Ok((ids.collect(), demo.map(|application| application.sdk_app_id.get())))
    }

    #[test]
    fn the_demo_back_end_never_serves_a_configured_application() {
        assert_eq!(tenants(&[], true, Purpose::Serve).unwrap(), (vec![9], Some(9)));
        assert_eq!(tenants(&[], false, Purpose::Serve).unwrap(), (vec![9], None));
        assert_eq!(tenants(&[1, 2], true, Purpose::Serve).unwrap(), (vec![1, 2], None));
        assert_eq!(tenants(&[1], false, Purpose::Demo).unwrap(), (vec![1, 9], Some(9)));
        assert!(tenants(&[9], true, Purpose::Demo).is_err());
    }
}
