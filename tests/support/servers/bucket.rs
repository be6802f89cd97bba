//! A bucket of S3, made and read by Amazon's own client.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::boto::{Access, bytes};
use super::unique;

/// A bucket's name, and who reads it.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    access: Access,
}

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its whole name.
    pub key: String,
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// What its writer noted on it.
    pub metadata: BTreeMap<String, String>,
    /// All that the client says of it.
    pub answer: Value,
}

impl Bucket {
    /// A name that no bucket has yet.
    pub fn unmade(access: &Access) -> Bucket {
        Bucket { name: unique("bucket"), access: access.clone() }
    }

    /// A new bucket.
    pub async fn make(access: &Access) -> Bucket {
        let bucket = Bucket::unmade(access);
        bucket.create().await;
        bucket
    }

    /// Makes it.
    pub async fn create(&self) {
        let place = json!({ "LocationConstraint": self.access.region });
        self.access.call("s3", "create_bucket", json!({ "Bucket": self.name, "CreateBucketConfiguration": place })).await;
    }

    /// Its objects' names, sorted. At most 1,000.
    pub async fn keys(&self) -> Vec<String> {
        let listed = self.access.call("s3", "list_objects_v2", json!({ "Bucket": self.name })).await;
        assert_ne!(listed["IsTruncated"], json!(true), "too many objects for one page");
        let objects = listed["Contents"].as_array().cloned().unwrap_or_default();
        let mut keys: Vec<String> = objects.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    }

    /// One object.
    pub async fn get(&self, key: &str) -> Stored {
        let answer = self.access.call("s3", "get_object", json!({ "Bucket": self.name, "Key": key })).await;
        let metadata = serde_json::from_value(answer["Metadata"].clone()).unwrap();
        Stored { key: key.to_owned(), bytes: bytes(&answer["Body"]), metadata, answer }
    }

    /// All objects, sorted by name.
    pub async fn objects(&self) -> Vec<Stored> {
        let mut objects = Vec::new();
        for key in self.keys().await {
            objects.push(self.get(&key).await);
        }
        objects
    }

    /// Puts an object there.
    pub async fn put(&self, key: &str, text: &str) {
        self.access.call("s3", "put_object", json!({ "Bucket": self.name, "Key": key, "Body": text })).await;
    }

    /// The lines of all objects, sorted.
    pub async fn lines(&self) -> Vec<String> {
        let objects = self.objects().await;
        let texts = objects.into_iter().map(|object| String::from_utf8(object.bytes).unwrap());
        let mut lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }

    /// The names of uploads in parts that are not finished.
    pub async fn uploads(&self) -> Vec<String> {
        let listed = self.access.call("s3", "list_multipart_uploads", json!({ "Bucket": self.name })).await;
        let uploads = listed["Uploads"].as_array().cloned().unwrap_or_default();
        uploads.iter().map(|upload| upload["Key"].as_str().unwrap().to_owned()).collect()
    }
}
