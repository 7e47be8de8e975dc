//! The curve of a sweep as SVG.
//!
//! Invariant: both axes show what was measured and nothing else; latencies on a logarithmic axis.

use anyhow::Context;
use plotters::prelude::*;

use super::percentiles::Percentiles;
use super::sweep::Step;

const SIZE: (u32, u32) = (900, 560);
/// The limit of the sweep, drawn as a line.
const LIMIT: f64 = 60.0;

type Pick = fn(&Step) -> Option<f64>;

/// Name, colour, dots or not, and the value of a step.
const LINES: [(&str, RGBColor, Pick); 5] = [
    ("logged p50", RGBColor(140, 190, 230), |step| {
        step.figures.latency_ms.logged.map(|found| found.p50)
    }),
    ("logged p99", RGBColor(30, 100, 180), |step| {
        step.figures.latency_ms.logged.map(|found| found.p99)
    }),
    ("applied p50", RGBColor(250, 190, 120), |step| {
        applied(step).map(|found| found.p50)
    }),
    ("applied p95", RGBColor(225, 110, 20), |step| {
        applied(step).map(|found| found.p95)
    }),
    ("applied p99", RGBColor(150, 40, 20), |step| {
        applied(step).map(|found| found.p99)
    }),
];

fn applied(step: &Step) -> Option<Percentiles> {
    step.figures.latency_ms.applied
}

pub(super) fn svg(steps: &[Step]) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(steps, &mut text)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("drawing the curve")?;
    Ok(text)
}

fn draw(steps: &[Step], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let values: Vec<f64> = LINES
        .iter()
        .flat_map(|(_, _, pick)| steps.iter().filter_map(pick))
        .chain([LIMIT])
        .collect();
    let low = values
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        .max(0.01);
    let high = values.iter().copied().fold(LIMIT, f64::max);
    let rates = steps.iter().map(|step| f64::from(step.rate));
    let widest = rates.fold(1.0, f64::max) * 1.02;
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Latency from scheduled arrival, over the rate",
            ("sans-serif", 20),
        )
        .margin(16)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..widest, (low * 0.7..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("transfers offered per second")
        .y_desc("milliseconds")
        .x_labels(10)
        .x_max_light_lines(1)
        .x_label_formatter(&|rate| format!("{rate:.0}"))
        .y_label_formatter(&|value| milliseconds(*value))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .light_line_style(RGBColor(238, 238, 238))
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    chart.draw_series(LineSeries::new(
        [(0.0, LIMIT), (widest, LIMIT)],
        RGBColor(150, 150, 150).stroke_width(1),
    ))?;
    for (name, colour, pick) in LINES {
        let points: Vec<(f64, f64)> = steps
            .iter()
            .filter_map(|step| Some((f64::from(step.rate), pick(step)?)))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, 3, colour.filled())),
        )?;
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
    use super::super::sweep::tests::step;
    use super::*;

    #[test]
    fn a_curve_shows_every_line_by_name() {
        let svg = svg(&[step(1000, 5.0), step(1250, 12.0), step(1562, 90.0)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for (name, ..) in LINES {
            assert!(svg.contains(name), "{name}");
        }
    }

    #[test]
    fn one_step_or_none_is_no_error() {
        assert!(svg(&[]).is_ok());
        assert!(svg(&[step(1000, 5.0)]).is_ok());
    }
}
