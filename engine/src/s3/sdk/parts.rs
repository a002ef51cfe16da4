//! The parts that an object was made of, as GetObjectAttributes tells them.

use aws_sdk_s3::types::{GetObjectAttributesParts, ObjectAttributes, ObjectPart};

use super::SdkControl;
use super::words::declared;
use crate::error::Result;
use crate::s3::control::{ListedPart, PartPage};
use crate::s3::fault::Subject;

/// Parts asked for at once; the protocol's own maximum.
const PAGE_PARTS: i32 = 1_000;

impl SdkControl {
    pub(super) async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        after: Option<u32>,
    ) -> Result<PartPage> {
        let subject =
            Subject { store: self.store(), bucket, key, permission: "s3:GetObjectAttributes" };
        let (client, signed) = self.client();
        let answer = client
            .get_object_attributes()
            .bucket(bucket)
            .key(key)
            .object_attributes(ObjectAttributes::ObjectParts)
            .max_parts(PAGE_PARTS)
            .set_part_number_marker(after.map(|number| number.to_string()))
            .set_request_payer(self.payer())
            .send()
            .await
            .map_err(|fault| self.outcome.error(fault, subject, &signed))?;
        let page = answer.object_parts().map_or_else(|| Some(PartPage::default()), page);
        page.ok_or_else(|| self.outcome.protocol("parts without number or size", subject))
    }
}

fn page(answer: &GetObjectAttributesParts) -> Option<PartPage> {
    let parts = answer.parts().iter().map(part).collect::<Option<_>>()?;
    let next = match answer.is_truncated() {
        Some(true) => Some(answer.next_part_number_marker()?.parse().ok()?),
        _ => None,
    };
    Some(PartPage { parts, next })
}

fn part(listed: &ObjectPart) -> Option<ListedPart> {
    let number = u32::try_from(listed.part_number()?).ok()?;
    let bytes = u64::try_from(listed.size()?).ok()?;
    Some(ListedPart { number, bytes, checksums: declared!(listed) })
}
