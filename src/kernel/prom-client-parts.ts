import type {
  Counter as CounterType,
  Gauge as GaugeType,
  Histogram as HistogramType,
  Registry as RegistryType,
} from 'prom-client';
// @ts-expect-error: the package has types for its index only
import counter from 'prom-client/lib/counter.js';
// @ts-expect-error: as above
import gauge from 'prom-client/lib/gauge.js';
// @ts-expect-error: as above
import histogram from 'prom-client/lib/histogram.js';
// @ts-expect-error: as above
import registry from 'prom-client/lib/registry.js';

/** Single files of prom-client: its index would load the default metrics, and with them 80 modules, at every start. */
export const Counter = counter as typeof CounterType;
export const Gauge = gauge as typeof GaugeType;
export const Histogram = histogram as typeof HistogramType;
export const Registry = registry as typeof RegistryType;
