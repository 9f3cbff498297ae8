//! A lineage as a picture for a report: one line for each node, elbows to their parents, what is stopped in red. No script, no link,
//! no font of its own; received text is escaped. SVG 1.1.

use std::fmt::Write as _;

use super::{Branch, Lineage, Relation};

/// The most lines in one picture.
pub const MAX_LINES: usize = 500;

const LINE: usize = 22;
const STEP: usize = 24;
const MARGIN: usize = 16;

/// Draws. The picture is bounded by [`MAX_LINES`].
#[must_use]
pub fn draw(lineage: &Lineage) -> String {
    let shown = lineage.nodes.get(..MAX_LINES).unwrap_or(&lineage.nodes);
    let more = lineage.nodes.len() - shown.len() + lineage.left_out;
    let deepest = shown.iter().map(|branch| branch.depth).max().unwrap_or(0);
    let lines = shown.len() + 2 + usize::from(more > 0);
    let (width, height) = (
        MARGIN * 2 + STEP * deepest as usize + 760,
        MARGIN * 2 + LINE * lines,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>Lineage</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    // Where the last line of each depth was drawn: an elbow starts there.
    let mut above: Vec<usize> = Vec::new();
    for (row, branch) in shown.iter().enumerate() {
        let (depth, y) = (branch.depth as usize, MARGIN + LINE * row + LINE / 2);
        let x = MARGIN + STEP * depth;
        above.truncate(depth);
        if let Some(parent) = depth.checked_sub(1).and_then(|depth| above.get(depth)) {
            let (from, dash) = (x - STEP, dashes(branch));
            let _ = writeln!(
                out,
                "<path d=\"M{from} {}V{y}H{}\" fill=\"none\" stroke=\"#8a8a8a\"{dash}/>",
                parent + 6,
                x - 6
            );
        }
        above.push(y);
        let fill = match branch.state.as_str() {
            "suspended" => "#b3261e",
            "active" => "#1a6b3c",
            _ => "#8a8a8a",
        };
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 10,
            y + 4,
            escaped(&label(branch))
        );
    }
    let mut y = MARGIN + LINE * shown.len() + LINE;
    if more > 0 {
        let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"{y}\">… +{more}</text>");
        y += LINE;
    }
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{y}\" font-size=\"10\" fill=\"#555\">SHA-256 {}</text>\n</svg>",
        escaped(&lineage.sha256)
    );
    out
}

fn dashes(branch: &Branch) -> &'static str {
    match branch.relation {
        Some(Relation::Granted | Relation::Is) => " stroke-dasharray=\"3 3\"",
        _ => "",
    }
}

fn label(branch: &Branch) -> String {
    let mut label = format!(
        "{} ({}), {}",
        sceau_proof::display::show(&branch.display, 60).text,
        sceau_proof::display::show(&branch.node, 80).text,
        branch.state
    );
    if let (Some(relation), Some(at)) = (branch.relation, branch.at) {
        let _ = write!(
            label,
            " · {} {:04}-{:02}-{:02} {:02}:{:02} UTC",
            relation.as_str(),
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        );
    }
    label
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Totals;

    fn branch(display: &str, depth: u32) -> Branch {
        Branch {
            node: "person/x".to_owned(),
            depth,
            last: true,
            display: display.to_owned(),
            state: "active".to_owned(),
            relation: None,
            action: None,
            at: None,
        }
    }

    #[test]
    fn names_cannot_become_markup_and_the_picture_is_bounded() {
        let mut nodes = vec![branch("</text><script>x</script>\u{202e}", 0)];
        nodes.extend((0..600).map(|n| branch("Jean", n % 3 + 1)));
        let lineage = Lineage {
            sha256: "00".to_owned(),
            totals: Totals::default(),
            nodes,
            left_out: 9_000,
        };
        let svg = draw(&lineage);
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains('\u{202e}'));
        assert_eq!(svg.matches("<circle").count(), MAX_LINES);
        assert!(svg.contains("… +9101"), "{}", svg.len());
    }
}
