//! Families of metrics, written by the rules of the format: one name, its help, its type, its unit, then its series, each once.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::measured::Histogram;

/// The labels of a series.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Where families are written. A family without series is left out.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// Whole numbers that go up and down, or 0 and 1.
    pub fn counts(&mut self, name: &str, help: &str, series: Vec<(Labels, i64)>) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))).collect();
        self.write(name, help, None, MetricType::Gauge, series)
    }

    /// One series a state, of which one is 1.
    pub fn states<T: PartialEq>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        words: &[(T, &'static str)],
        subjects: Vec<(Labels, T)>,
    ) -> fmt::Result {
        let mut series = Vec::new();
        for (labels, is) in subjects {
            for (state, word) in words {
                let mut labels = labels.clone();
                labels.push((label, (*word).to_owned()));
                series.push((labels, i64::from(*state == is)));
            }
        }
        self.counts(name, help, series)
    }

    /// Seconds: the name has no unit, which is added.
    pub fn seconds(&mut self, name: &str, help: &str, series: Vec<(Labels, f64)>) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))).collect();
        self.write(name, help, Some(&Unit::Seconds), MetricType::Gauge, series)
    }

    /// Numbers from 0 to 1.
    pub fn ratios(&mut self, name: &str, help: &str, series: Vec<(Labels, f64)>) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))).collect();
        self.write(name, help, None, MetricType::Gauge, series)
    }

    /// What only grows; the name has no `_total`, which is added.
    pub fn totals(&mut self, name: &str, help: &str, series: Vec<(Labels, u64)>) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))).collect();
        self.write(name, help, None, MetricType::Counter, series)
    }

    /// What stands in labels and is always 1; the name has no `_info`, which is added.
    pub fn infos(&mut self, name: &str, help: &str, series: Vec<Labels>) -> fmt::Result {
        if series.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        series.iter().try_for_each(|labels| family.encode_info(labels))
    }

    /// Times, in buckets; the name has no unit.
    pub fn times(&mut self, name: &str, help: &str, series: Vec<(Labels, &Histogram)>) -> fmt::Result {
        if series.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (labels, histogram) in series {
            let exemplars = None::<&std::collections::HashMap<usize, Exemplar<Labels, f64>>>;
            let (sum, count, buckets) = (histogram.sum(), histogram.count(), histogram.buckets());
            family.encode_family(&labels)?.encode_histogram(sum, count, &buckets, exemplars)?;
        }
        Ok(())
    }

    fn write<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        series: Vec<(Labels, M)>,
    ) -> fmt::Result {
        if series.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, metric) in series {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
