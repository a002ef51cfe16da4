//! Objects out of a store, in batches and one by one.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{Delete, Error as Refused, ObjectIdentifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::SdkControl;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::control::Kept;
use crate::s3::fault::{Fault, Subject};
use crate::s3::verdict::Signed;

const PERMISSION: &str = "s3:DeleteObject";

impl SdkControl {
    pub(super) async fn remove_batch(&self, bucket: &str, keys: &[String]) -> Result<Vec<Kept>> {
        let subject = Subject { store: self.store(), bucket, key: "", permission: PERMISSION };
        let named = |key: &String| ObjectIdentifier::builder().key(key).build();
        let objects: std::result::Result<Vec<_>, _> = keys.iter().map(named).collect();
        let delete = objects
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = delete.map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot name the objects of a batch").because(error)
        })?;
        let (client, signed) = self.client();
        let request = client
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .set_request_payer(self.payer())
            .customize();
        // The SDK sends a CRC; stores of an older age ask for an MD5.
        let answer = request
            .mutate_request(|request| {
                let md5 = request.body().bytes().map(|body| STANDARD.encode(Md5::digest(body)));
                if let Some(md5) = md5 {
                    request.headers_mut().insert("content-md5", md5);
                }
            })
            .send()
            .await
            .map_err(|fault| self.outcome.error(fault, subject, &signed))?;
        answer.errors().iter().map(|refused| self.kept(bucket, refused, &signed)).collect()
    }

    fn kept(&self, bucket: &str, refused: &Refused, signed: &Signed) -> Result<Kept> {
        let subject = Subject { store: self.store(), bucket, key: "", permission: PERMISSION };
        let key = refused.key().ok_or_else(|| {
            self.outcome.protocol("a refusal that does not name its object", subject)
        })?;
        let subject = Subject { store: self.store(), bucket, key, permission: PERMISSION };
        let fault = Fault {
            status: 200,
            code: refused.code().map(str::to_owned),
            message: refused.message().map(str::to_owned),
            ..Fault::default()
        };
        Ok(Kept { key: key.to_owned(), error: self.outcome.refused(fault, subject, signed) })
    }

    pub(super) async fn remove(&self, bucket: &str, key: &str) -> Result<()> {
        let subject = Subject { store: self.store(), bucket, key, permission: PERMISSION };
        let (client, signed) = self.client();
        let request = client.delete_object().bucket(bucket).key(key);
        let answer = request.set_request_payer(self.payer()).send().await;
        let Err(fault) = answer else { return Ok(()) };
        // Some stores say that there is no object; what matters is that it is
        // gone. A bucket that is not there is something else.
        let is_bucket = fault.code() == Some("NoSuchBucket");
        match self.outcome.error(fault, subject, &signed) {
            gone if gone.kind() == ErrorKind::NotFound && !is_bucket => Ok(()),
            error => Err(error),
        }
    }
}
