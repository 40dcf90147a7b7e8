/** Where container metrics come from. */
export const presets = ['kube-prometheus-stack', 'plain'] as const;

export type Preset = (typeof presets)[number];

/** Where request rates, errors and latencies come from. */
export const meshes = ['none', 'istio'] as const;

export type Mesh = (typeof meshes)[number];
