// The devices that the person has chosen in calls, kept by the browser.

export type DeviceChoice = Partial<Record<MediaDeviceKind, string>>;

const KEY = 'rotunda-call-devices';

export function savedChoice(): DeviceChoice {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return typeof kept === 'object' && kept !== null ? kept as DeviceChoice : {};
  } catch {
    // A page in a sandbox has no storage; somebody may have written something else.
    return {};
  }
}

export function keepChoice(choice: DeviceChoice): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // It holds for this call.
  }
}
