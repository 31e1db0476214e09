// The video profile that the operator has set for an application: what a client captures and sends. Pure.

import type { Codec } from './layers';
import type { Role } from './types';

/** A rule of the application; an absent field leaves the client's default. */
export interface StreamProfile {
  /** Which clients it is for; absent: all. */
  platform?: string;
  role?: Role;
  codec?: Codec;
  /** The frames of the camera, pixels and frames per second. */
  width?: number;
  height?: number;
  framerate?: number;
  /** Of the largest layer, kbit/s. */
  bitrate?: number;
  /** Sizes that are sent, at most 3. */
  layers?: number;
}

/** The first rule for a platform and a role; browsers are the platform `web`. */
export function profileFor(rules: StreamProfile[], role: Role = 'anchor', platform = 'web'): StreamProfile {
  return rules.find((rule) => (rule.platform ?? platform) === platform && (rule.role ?? role) === role) ?? {};
}
