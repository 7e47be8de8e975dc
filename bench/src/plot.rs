//! The curve of a sweep as SVG.
//!
//! Invariant: both axes show what was measured and nothing else: medians as lines, all runs as bands; latencies on a
//! logarithmic axis.

use anyhow::Context;
use plotters::prelude::*;

use super::step::{APPLIED_P95_MAX, Pick, Spread, Step, applied, logged};

const SIZE: (u32, u32) = (900, 560);
/// Of a band, beside the line that it belongs to.
const BAND_OPACITY: f64 = 0.18;
const GREY: RGBColor = RGBColor(120, 120, 120);

/// Name, colour, and the value of a run.
const LINES: [(&str, RGBColor, Pick); 5] = [
    ("logged p50", RGBColor(120, 175, 225), |run| {
        Some(logged(run)?.p50)
    }),
    ("logged p99", RGBColor(30, 100, 180), |run| {
        Some(logged(run)?.p99)
    }),
    ("applied p50", RGBColor(240, 175, 85), |run| {
        Some(applied(run)?.p50)
    }),
    ("applied p95", RGBColor(225, 100, 20), |run| {
        Some(applied(run)?.p95)
    }),
    ("applied p99", RGBColor(140, 35, 25), |run| {
        Some(applied(run)?.p99)
    }),
];

pub(super) fn svg(steps: &[Step]) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(steps, &mut text)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("drawing the curve")?;
    Ok(text)
}

/// A line of the plot: at each rate what it shows.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, Spread)>,
}

fn curves(steps: &[Step]) -> Vec<Curve> {
    let lines = LINES.iter().map(|(name, colour, pick)| Curve {
        name,
        colour: *colour,
        points: steps
            .iter()
            .filter_map(|step| Some((f64::from(step.rate), step.spread(*pick)?)))
            .collect(),
    });
    lines.collect()
}

fn draw(steps: &[Step], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let curves = curves(steps);
    let spreads = || curves.iter().flat_map(|curve| &curve.points);
    let lowest = spreads().map(|(_, spread)| spread.lowest);
    let highest = spreads().map(|(_, spread)| spread.highest);
    let low = lowest.fold(APPLIED_P95_MAX, f64::min).max(0.01);
    let high = highest.fold(APPLIED_P95_MAX, f64::max);
    let rates = steps.iter().map(|step| f64::from(step.rate));
    let widest = rates.fold(1.0, f64::max) * 1.02;
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(caption(steps), ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..widest, (low * 0.7..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("transfers offered per second")
        .y_desc("milliseconds from when a transfer was due")
        .x_labels(10)
        .x_max_light_lines(1)
        .x_label_formatter(&|rate| thousands(*rate))
        .y_label_formatter(&|value| milliseconds(*value))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .light_line_style(RGBColor(238, 238, 238))
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    let limit = [(0.0, APPLIED_P95_MAX), (widest, APPLIED_P95_MAX)];
    chart.draw_series(DashedLineSeries::new(limit, 6, 4, GREY.stroke_width(1)))?;
    let label = Text::new(
        format!("p95 to applied: {APPLIED_P95_MAX:.0} ms"),
        (widest * 0.005, APPLIED_P95_MAX * 1.25),
        ("sans-serif", 13).into_font().color(&GREY),
    );
    chart.draw_series([label])?;
    // All bands before all lines, so that none hides one.
    for curve in &curves {
        let band = curve.colour.mix(BAND_OPACITY).filled();
        chart.draw_series([Polygon::new(curve.outline(), band)])?;
    }
    for curve in &curves {
        let medians = || {
            curve
                .points
                .iter()
                .map(|(rate, spread)| (*rate, spread.median))
        };
        let colour = curve.colour;
        chart
            .draw_series(LineSeries::new(medians(), colour.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(medians().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}

impl Curve {
    /// Around all runs: along the highest of each rate, and back along the lowest.
    fn outline(&self) -> Vec<(f64, f64)> {
        let points = self.points.iter();
        let above = points.clone().map(|(rate, spread)| (*rate, spread.highest));
        let below = points.map(|(rate, spread)| (*rate, spread.lowest));
        above.chain(below.rev()).collect()
    }
}

fn caption(steps: &[Step]) -> String {
    let runs = steps.iter().map(|step| step.runs.len()).max().unwrap_or(1);
    if runs > 1 {
        format!("Latency over the rate: median of {runs} runs, and from the lowest to the highest")
    } else {
        "Latency over the rate".to_owned()
    }
}

fn thousands(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    match digits.len().checked_sub(3) {
        Some(place) if place > 0 => format!("{},{}", &digits[..place], &digits[place..]),
        _ => digits,
    }
}

/// No more decimals than the value needs.
fn milliseconds(value: f64) -> String {
    if value < 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::step;
    use super::*;

    #[test]
    fn a_curve_shows_every_line_by_name_with_a_band() {
        let steps = [
            step(1000, &[5.0, 4.0, 9.0]),
            step(1250, &[12.0, 12.0, 30.0]),
            step(1562, &[90.0, 70.0, 700.0]),
        ];
        let svg = svg(&steps).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for (name, ..) in LINES {
            assert!(svg.contains(name), "{name}");
        }
        assert!(svg.contains("median of 3 runs"), "{svg}");
        assert_eq!(svg.matches("<polygon").count(), LINES.len());
    }

    #[test]
    fn a_band_goes_around_all_runs() {
        let steps = [
            step(1000, &[5.0, 4.0, 9.0]),
            step(2000, &[12.0, 11.0, 30.0]),
        ];
        let curve = &curves(&steps)[3];
        assert_eq!(curve.name, "applied p95");
        let expected = [(1000.0, 9.0), (2000.0, 30.0), (2000.0, 11.0), (1000.0, 4.0)];
        assert_eq!(curve.outline(), expected);
    }

    #[test]
    fn one_step_or_none_is_no_error() {
        assert!(svg(&[]).is_ok());
        assert!(svg(&[step(1000, &[5.0])]).is_ok());
    }
}
