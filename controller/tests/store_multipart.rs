//! Multipart uploads, seen through the AWS SDK.
#![allow(clippy::unwrap_used)]

mod store_common;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart};
use store_common::{Fixture, code};

const PART_BYTES: usize = 5 << 20;

async fn begin(s3: &Client) -> String {
    let begun = s3.create_multipart_upload().bucket("big").key("object").send().await.unwrap();
    begun.upload_id().unwrap().to_owned()
}

async fn part(s3: &Client, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let sent = s3.upload_part().bucket("big").key("object").upload_id(id).part_number(number);
    let sent = sent.body(ByteStream::from(body)).send().await.unwrap();
    CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap()).build()
}

fn list(parts: &[CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build()
}

#[tokio::test]
async fn parts_become_one_object() {
    let fixture = Fixture::start().await;
    let s3 = fixture.client();
    s3.create_bucket().bucket("big").send().await.unwrap();
    let id = begin(&s3).await;
    // Out of order, one of them twice, one of them never used.
    let third = part(&s3, &id, 9, b"tail".to_vec()).await;
    let first = part(&s3, &id, 1, vec![b'a'; PART_BYTES]).await;
    part(&s3, &id, 5, vec![b'x'; PART_BYTES]).await;
    let second = part(&s3, &id, 5, vec![b'b'; PART_BYTES]).await;
    part(&s3, &id, 7, b"unused".to_vec()).await;

    let fixture = fixture.restart().await;
    let s3 = fixture.client();
    let parts = s3.list_parts().bucket("big").key("object").upload_id(&id).max_parts(3);
    let parts = parts.send().await.unwrap();
    let numbers: Vec<_> = parts.parts().iter().filter_map(|p| p.part_number()).collect();
    assert_eq!((numbers, parts.is_truncated()), (vec![1, 5, 7], Some(true)));
    let open = s3.list_multipart_uploads().bucket("big").send().await.unwrap();
    assert_eq!(open.uploads()[0].upload_id(), Some(id.as_str()));
    let unseen = s3.head_object().bucket("big").key("object").send().await;
    assert!(unseen.is_err(), "nothing shows before completion");

    let complete = || {
        let parts = list(&[first.clone(), second.clone(), third.clone()]);
        s3.complete_multipart_upload()
            .bucket("big")
            .key("object")
            .upload_id(&id)
            .multipart_upload(parts)
    };
    let wrong = complete().checksum_crc64_nvme("AAAAAAAAAAA=").send().await.unwrap_err();
    assert_eq!(code(&wrong), "BadDigest");
    let done = complete().checksum_crc64_nvme("4pt41PrxiJQ=").send().await.unwrap();
    assert_eq!(done.e_tag(), Some("\"1af560d38fa58b7629ca9d6c912c720b-3\""));
    let again = complete().send().await.unwrap();
    assert_eq!(again.e_tag(), done.e_tag(), "a repeated completion answers the same");

    let fixture = fixture.restart().await;
    let s3 = fixture.client();
    let get = || s3.get_object().bucket("big").key("object");
    let whole = get().checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(whole.checksum_crc64_nvme(), Some("4pt41PrxiJQ="));
    assert_eq!(whole.e_tag(), done.e_tag());
    // The client takes no whole answer of this size.
    let mut body = Vec::new();
    for range in [format!("bytes=0-{}", PART_BYTES - 1), format!("bytes={PART_BYTES}-")] {
        let piece = get().range(range).send().await.unwrap();
        body.extend(piece.body.collect().await.unwrap().into_bytes());
    }
    let expected = [vec![b'a'; PART_BYTES], vec![b'b'; PART_BYTES], b"tail".to_vec()].concat();
    assert!(body == expected);
    let seam = get().range(format!("bytes={}-{}", PART_BYTES - 2, PART_BYTES + 1)).send().await;
    assert_eq!(seam.unwrap().body.collect().await.unwrap().into_bytes().as_ref(), b"aabb");
    let last = get().part_number(3).send().await.unwrap();
    assert_eq!(last.parts_count(), Some(3));
    assert_eq!(last.body.collect().await.unwrap().into_bytes().as_ref(), b"tail");
    fixture.stop().await;
}

#[tokio::test]
async fn wrong_completions_are_refused() {
    let fixture = Fixture::start().await;
    let s3 = fixture.client();
    s3.create_bucket().bucket("big").send().await.unwrap();
    let id = begin(&s3).await;
    let small = part(&s3, &id, 1, b"small".to_vec()).await;
    let second = part(&s3, &id, 2, b"last".to_vec()).await;
    let complete = async |parts: &[CompletedPart]| {
        let complete = s3.complete_multipart_upload().bucket("big").key("object");
        let sent = complete.upload_id(&id).multipart_upload(list(parts)).send().await;
        code(&sent.unwrap_err())
    };
    assert_eq!(complete(&[small.clone(), second.clone()]).await, "EntityTooSmall");
    assert_eq!(complete(&[second.clone(), small.clone()]).await, "InvalidPartOrder");
    let forged = CompletedPart::builder().part_number(2).e_tag("\"0123\"").build();
    assert_eq!(complete(&[forged]).await, "InvalidPart");
    let absent = CompletedPart::builder().part_number(3).e_tag(second.e_tag().unwrap()).build();
    assert_eq!(complete(&[absent]).await, "InvalidPart");

    let abort = || s3.abort_multipart_upload().bucket("big").key("object").upload_id(&id);
    abort().send().await.unwrap();
    assert_eq!(code(&abort().send().await.unwrap_err()), "NoSuchUpload");
    assert_eq!(complete(&[small]).await, "NoSuchUpload");
    let late = s3.upload_part().bucket("big").key("object").upload_id(&id).part_number(1);
    let late = late.body(ByteStream::from_static(b"x")).send().await.unwrap_err();
    assert_eq!(code(&late), "NoSuchUpload");
    s3.delete_bucket().bucket("big").send().await.unwrap();
    fixture.stop().await;
}
