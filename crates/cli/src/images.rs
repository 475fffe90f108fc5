//! The images of `--image`: URLs, and files as data URLs.

use std::{fs::File, io::Read as _, path::Path};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use inferstream::{Error, ErrorKind, Message, Part, Provider, Result};

/// The maximum size of a file. As base64 it fits into a request, which may have 16 MiB.
const LIMIT: u64 = 10 << 20;

/// Returns the image that an argument names.
///
/// # Errors
///
/// Returns `Config` for a file that cannot be read, is too large or is not an image.
pub(crate) fn read(image: &str) -> Result<Part> {
    let is_url = ["http://", "https://", "data:"]
        .iter()
        .any(|scheme| image.starts_with(scheme));
    if is_url {
        return Ok(Part::image_url(image));
    }
    let path = Path::new(image);
    let failed = |error| Error::config(format!("cannot read {}: {error}", path.display()));
    let invalid =
        |what: &str| Error::config(format!("invalid image {}: expected {what}", path.display()));
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(LIMIT + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if LIMIT < bytes.len() as u64 {
        return Err(invalid("at most 10 MiB"));
    }
    let media_type = media_type(&bytes).ok_or_else(|| invalid("PNG, JPEG, GIF or WebP"))?;
    let data = BASE64_STANDARD.encode(&bytes);
    Ok(Part::image_url(format!("data:{media_type};base64,{data}")))
}

/// Returns the media type of an image by its first bytes, for the types that services accept.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    // WHATWG MIME Sniffing, section 6.1.
    let types: [(&[u8], &str); 4] = [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
    ];
    if bytes.starts_with(b"RIFF") && bytes.get(8..14) == Some(b"WEBPVP") {
        return Some("image/webp");
    }
    let found = types.iter().find(|(start, _)| bytes.starts_with(start));
    found.map(|(_, media_type)| *media_type)
}

/// Refuses images that the model is not known to support.
///
/// # Errors
///
/// Returns `Unsupported`.
pub(crate) fn check(
    provider: &dyn Provider,
    model: Option<&str>,
    messages: &[Message],
) -> Result<()> {
    let mut parts = messages.iter().flat_map(|message| &message.content);
    if parts.all(|part| part.as_text().is_some()) {
        return Ok(());
    }
    let info = provider.info();
    let model = model.or(info.default_model()).unwrap_or_default();
    if provider.capabilities(info.resolve(model)).supports_images {
        return Ok(());
    }
    let message = format!(
        "the model `{model}` of {} is not known to support images: choose another model",
        info.id
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_setting("model"))
}

#[cfg(test)]
mod tests {
    use super::media_type;

    #[test]
    fn images_are_recognized_by_their_content() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0"[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"GIF87a", Some("image/gif")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"\x89PNG", None),
            (b"<svg/>", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), expected, "{bytes:?}");
        }
    }
}
