//! moto: Amazon's services in memory (S3, SQS, Kinesis, IAM, STS), with signatures and rights checked.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::boto::Access;
use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed, unique};
use crate::setup::free_port;
use crate::{client, until};

/// A server.
#[derive(Debug)]
pub struct Moto {
    access: Access,
    port: u16,
    /// `None`: it is somebody else's.
    directory: Option<TempDir>,
    process: Running,
}

/// The server of all tests (`FLAGPOST_TEST_MOTO_URL`, or ours), which checks every request's signature and rights. `None`: skipped.
pub async fn shared() -> Option<Arc<Moto>> {
    static SHARED: OnceCell<Option<Arc<Moto>>> = OnceCell::const_new();
    let start = async || {
        let mut moto = match given("moto") {
            Some(url) => {
                installed("aws")?;
                Moto { access: Access::new(&url, "any", "any"), port: 0, directory: None, process: Running::default() }
            }
            None => own().await?,
        };
        let (key, secret) = moto.user(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#).await;
        if moto.directory.is_some() {
            let request = client().post(moto.url("/moto-api/reset-auth")).header("content-type", "text/plain").body("0");
            assert!(request.send().await.unwrap().status().is_success());
        }
        (moto.access.key, moto.access.secret) = (key, secret);
        Some(Arc::new(moto))
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped: it forgets everything then. It takes any credentials. `None`: skipped.
pub async fn own() -> Option<Moto> {
    installed("aws")?;
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    let access = Access::new(&format!("http://127.0.0.1:{port}"), "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let moto = Moto { access, port, directory: Some(directory), process: Running::default() };
    moto.restart().await;
    Some(moto)
}

controlled!(Moto, process);

impl Moto {
    /// Where it is and who may do everything there.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Its address with a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.access.endpoint)
    }

    /// A fault proxy, and where the service is behind it. `None`: skipped.
    pub async fn proxied(&self) -> Option<(Toxiproxy, Access)> {
        let directory = self.directory.as_ref().expect("the test needs a server of its own");
        let port = free_port();
        let proxy = Toxiproxy::before(directory.path(), port, self.port).await?;
        Some((proxy, Access { endpoint: format!("http://127.0.0.1:{port}"), ..self.access.clone() }))
    }

    /// Makes a user who may do what that statement of a policy says; gives the access key and its secret.
    pub async fn user(&self, statement: &str) -> (String, String) {
        let name = unique("user");
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        self.access.call("iam", "create_user", json!({ "UserName": name })).await;
        let granted = json!({ "UserName": name, "PolicyName": "it", "PolicyDocument": policy });
        self.access.call("iam", "put_user_policy", granted).await;
        let made = self.access.call("iam", "create_access_key", json!({ "UserName": name })).await;
        let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
        (text("AccessKeyId"), text("SecretAccessKey"))
    }

    /// Makes a role that may do what that statement of a policy says, and that everybody may take on; gives its ARN.
    pub async fn role(&self, statement: &str) -> String {
        let name = unique("role");
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        let made = self.access.call("iam", "create_role", json!({ "RoleName": name, "AssumeRolePolicyDocument": trust })).await;
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        self.access.call("iam", "put_role_policy", json!({ "RoleName": name, "PolicyName": "it", "PolicyDocument": policy })).await;
        made["Role"]["Arn"].as_str().unwrap().to_owned()
    }

    /// Starts it again on the same port, with nothing in it.
    pub async fn restart(&self) {
        let home = installed("aws").expect("it was there before");
        let directory = self.directory.as_ref().expect("the test needs a server of its own");
        let arguments = ["-H", "127.0.0.1", "-p", &self.port.to_string()].map(str::to_owned);
        let process = Process::start(&home.join("python/bin/moto_server"), &arguments, &directory.path().join("log"));
        self.process.set(process);
        let url = self.url("/moto-api/");
        until("moto is ready", async || client().get(&url).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }
}
