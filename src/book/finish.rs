//! What is done to the pages that mdBook made: drawings follow the theme, and no link leads to an API reference that was not built.

use super::links::pages;
use crate::error::{Error, Result};
use crate::plot::palette::{INK, PAPER};
use fancy_regex::{Captures, Regex};
use std::fs;
use std::path::Path;

/// Puts every drawing that a page of `site` shows with a description into the page, black and white exchanged for the theme's ink and paper.
/// Where the site has no API reference, the words that link to it stay and the links go. Returns how many drawings there were.
///
/// # Errors
/// A file that cannot be read or written.
pub fn finish(site: &Path) -> Result<usize> {
    // mdBook shows a picture twice, small and, when it is clicked, large
    let picture = Regex::new(
        r#"(?:<label class="checkbox-label"><input[^>]*>)?<img src="([^":]+\.svg)" alt="([^"]+)"[^>]*>(?:<span class="img-wrapper"><img[^>]*></span></label>)?"#,
    )
    .expect("a pattern of ours");
    let reference =
        Regex::new(r#"<a href="(?:\.\./)*api/[^"]*">(.*?)</a>"#).expect("a pattern of ours");
    let referred = site.join("api").is_dir();
    let mut count = 0;
    for page in pages(site)? {
        let text = fs::read_to_string(&page).map_err(Error::io("reading", &page))?;
        let folder = page.parent().unwrap_or(site);
        let mut put = |found: &Captures| {
            let (whole, file, what) = (&found[0], &found[1], &found[2]);
            match fs::read_to_string(folder.join(file)) {
                Ok(drawing) if drawing.trim_start().starts_with("<svg") => {
                    count += 1;
                    let wide = if drawing.contains("width=\"960\"") { " wide" } else { "" };
                    format!(
                        "<span class=\"drawing{wide}\" role=\"img\" aria-label=\"{what}\">{}</span>",
                        themed(&drawing)
                    )
                }
                // what is not there is a dead link, which is found as one
                _ => whole.to_owned(),
            }
        };
        let mut new = picture.replace_all(&text, |found: &Captures| put(found)).into_owned();
        if !referred {
            new = reference.replace_all(&new, "$1").into_owned();
        }
        if new != text {
            fs::write(&page, new).map_err(Error::io("writing", &page))?;
        }
    }
    Ok(count)
}

/// A drawing in the page's own ink and paper; an empty line would end the block that it stands in.
fn themed(drawing: &str) -> String {
    let lines: Vec<&str> = drawing.lines().filter(|line| !line.trim().is_empty()).collect();
    let (ink, paper) = (INK.hex(), PAPER.hex());
    let text = lines.join("\n");
    ["fill", "stroke"].iter().fold(text, |text, what| {
        let text = text.replace(&format!("{what}=\"{ink}\""), &format!("{what}=\"currentColor\""));
        text.replace(&format!("{what}=\"{paper}\""), &format!("{what}=\"var(--bg)\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_with_a_description_becomes_part_of_its_page() {
        let site = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(site.path().join(name), text).unwrap();
        write(
            "a.svg",
            "<svg width=\"480\" height=\"9\"><rect fill=\"#FFFFFF\"/>\n\n<text fill=\"#1A1A1A\">a</text></svg>",
        );
        write(
            "index.html",
            "<label class=\"checkbox-label\"><input class=\"checkbox-img\" type=\"checkbox\"><img src=\"a.svg\" alt=\"A is 1\"><span class=\"img-wrapper\"><img src=\"a.svg\" alt=\"A is 1\"></span></label><img src=\"a.svg\" alt=\"\"><img src=\"gone.svg\" alt=\"x\"><img src=\"data:x.svg\" alt=\"y\">",
        );
        assert_eq!(finish(site.path()).unwrap(), 1);
        let page = fs::read_to_string(site.path().join("index.html")).unwrap();
        let want = "<span class=\"drawing\" role=\"img\" aria-label=\"A is 1\"><svg width=\"480\" height=\"9\">\
                    <rect fill=\"var(--bg)\"/>\n<text fill=\"currentColor\">a</text></svg></span><img src=\"a.svg\" alt=\"\">";
        assert!(page.starts_with(want), "{page}");
        assert!(page.contains("gone.svg"), "a dead link stays one: {page}");
    }

    #[test]
    fn links_to_the_reference_go_where_it_is_absent() {
        let site = tempfile::tempdir().unwrap();
        let page = site.path().join("part/a.html");
        let text = "See the <a href=\"../api/unforget/index.html\"><code>API</code></a> <a href=\"b.html\">b</a>";
        fs::create_dir(site.path().join("part")).unwrap();
        fs::write(&page, text).unwrap();
        finish(site.path()).unwrap();
        let without = "See the <code>API</code> <a href=\"b.html\">b</a>";
        assert_eq!(fs::read_to_string(&page).unwrap(), without);
        fs::create_dir(site.path().join("api")).unwrap();
        fs::write(&page, text).unwrap();
        finish(site.path()).unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), text);
    }
}
