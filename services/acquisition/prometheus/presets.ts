/** Sources of container metrics. */
export const presets = ['kube-prometheus-stack', 'plain'] as const;

export type Preset = (typeof presets)[number];

/** Sources of request rates, errors and latencies. */
export const meshes = ['none', 'istio'] as const;

export type Mesh = (typeof meshes)[number];
