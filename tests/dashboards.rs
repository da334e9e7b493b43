//! Dashboards and alert rules use metrics and labels that exist.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mosaic::metrics::names::{METRICS, Metric};
use serde_json::Value;

fn dashboards() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// Labels that Prometheus adds to what it scrapes.
const COMMON_LABELS: &[&str] = &["instance", "job"];

#[test]
fn every_metric_and_label_exists() {
    let mut files = 0;
    for entry in fs::read_dir(dashboards()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let faults = faults(&text);
        assert!(
            faults.is_empty(),
            "{}: {}",
            path.display(),
            faults.join("; ")
        );
        assert!(
            text.contains("mosaic_"),
            "{}: uses no metric at all",
            path.display()
        );
        files += 1;
    }
    assert!(files >= 2, "the overview and the alerts");
}

#[test]
fn the_check_finds_what_is_wrong() {
    assert_eq!(
        faults("sum(rate(mosaic_flows_total[5m]))"),
        ["no metric mosaic_flows_total"]
    );
    assert_eq!(
        faults("sum by (reason) (mosaic_flows)"),
        ["no label reason on mosaic_flows"]
    );
    assert_eq!(
        faults(r#"mosaic_dropped_packets_total{event=~"x"}"#),
        ["no label event on mosaic_dropped_packets_total"]
    );
    assert_eq!(
        faults("sum by (shard, port) (mosaic_port_mbufs)"),
        ["no label shard on mosaic_port_mbufs"]
    );
    assert!(
        faults(r#"sum by (shard, reason) (mosaic_dropped_packets_total{instance="a"})"#).is_empty()
    );
}

#[test]
fn the_dashboard_is_complete() {
    let text = fs::read_to_string(dashboards().join("overview.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids: Vec<_> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "panel ids are unique");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{title}: no description"
        );
        assert!(
            !panel["targets"].as_array().unwrap().is_empty(),
            "{title}: shows nothing"
        );
    }
}

#[test]
fn prometheus_accepts_the_alert_rules() {
    let rules = dashboards().join("alerts.yml");
    match Command::new("promtool")
        .args(["check", "rules"])
        .arg(rules)
        .output()
    {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(_) => eprintln!("skipped: promtool is not installed (Debian package prometheus)"),
    }
}

/// Metrics and labels in PromQL expressions that do not exist.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for expression in text.lines() {
        let used = metrics_in(expression);
        let mut metrics = Vec::new();
        for name in used {
            match METRICS.iter().find(|metric| metric.name == name) {
                Some(metric) => metrics.push(metric),
                None => faults.push(format!("no metric {name}")),
            }
        }
        for label in labels_in(expression) {
            faults.extend(
                metrics
                    .iter()
                    .filter(|metric| !has_label(metric, label))
                    .map(|metric| format!("no label {label} on {}", metric.name)),
            );
        }
    }
    faults
}

fn has_label(metric: &Metric, label: &str) -> bool {
    COMMON_LABELS.contains(&label) || metric.subject.label() == label || metric.label == Some(label)
}

fn metrics_in(text: &str) -> Vec<&str> {
    text.match_indices("mosaic_")
        .map(|(at, _)| word(&text[at..]))
        .collect()
}

/// What stands between the parentheses of `by (...)`, and before an operator between braces.
fn labels_in(text: &str) -> Vec<&str> {
    let grouped = text.match_indices("by (").flat_map(|(at, by)| {
        let list = &text[at + by.len()..];
        list[..list.find(')').unwrap_or(0)].split(", ")
    });
    let matched = text.match_indices(['{', ',']).filter_map(|(at, _)| {
        let label = word(&text[at + 1..]);
        let operator = &text[at + 1 + label.len()..];
        (!label.is_empty() && operator.starts_with(['=', '!'])).then_some(label)
    });
    grouped.chain(matched).collect()
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}
