// The video that clients send, by platform and role: rules of an application, of which a client follows the first that is for it.

import type { Context } from '../context';
import { h, replace } from '../dom';
import { number } from '../format';
import { t } from '../i18n';
import { busy, dialog, empty, field, note, select } from '../ui';

export interface StreamProfile { Platform?: string; Role?: string; Codec?: string; Width?: number; Height?: number; Framerate?: number; Bitrate?: number; Layers?: number }
interface Owner { SdkAppId: number; Revision?: number; Settings: { StreamProfiles?: StreamProfile[] } }

const MOST = 32;
const PLATFORMS = ['web', 'ios', 'android', 'windows', 'mac', 'linux', 'device'];
const CODECS: Record<string, string> = { h264: 'H.264', vp8: 'VP8', vp9: 'VP9', av1: 'AV1' };

const platformName = (platform: string) => ({ web: t('Browsers'), ios: 'iOS', android: 'Android', windows: 'Windows', mac: 'macOS', linux: 'Linux', device: t('Devices') }[platform] ?? platform);
const roleName = (role: string) => ({ anchor: t('speakers'), audience: t('audience') }[role] ?? role);

/** `Browsers, speakers: H.264, 1280×720, 30 fps, …`. */
export function inWords({ Platform, Role, Codec, Width, Height, Framerate, Bitrate, Layers }: StreamProfile): string {
  const who = [Platform ? platformName(Platform) : t('All platforms'), ...Role ? [roleName(Role)] : []].join(', ');
  const size = Width && Height ? `${Width}×${Height}` : Height ? t('{0} lines', Height) : Width ? t('{0} pixels wide', Width) : '';
  const what = [Codec && (CODECS[Codec] ?? Codec), size, Framerate && `${Framerate} fps`, Bitrate && `${number(Bitrate)} kbit/s`, Layers && t('{0} {0|size|sizes}', Layers)].filter(Boolean);
  return `${who}: ${what.length > 0 ? what.join(', ') : t('as the client chooses')}`;
}

/** The index of each rule that no client follows, because one before it is for all of its clients. */
export function shadowed(rules: StreamProfile[]): number[] {
  return rules.flatMap((rule, index) => {
    const covers = (before: StreamProfile) => (!before.Platform || before.Platform === rule.Platform) && (!before.Role || before.Role === rule.Role);
    return rules.slice(0, index).some(covers) ? [index] : [];
  });
}

/** What the API takes: no rules are a word of their own. */
export function settingsOf(rules: StreamProfile[]): object {
  return rules.length > 0 ? { StreamProfiles: rules } : { NoStreamProfiles: true };
}

export function editProfiles(context: Context, row: Owner, changed: () => void): void {
  dialog(t('Video of the clients of {0}', row.SdkAppId), (close) => {
    const rules: StreamProfile[] = (row.Settings.StreamProfiles ?? []).map((rule) => ({ ...rule }));
    const list = h('div', { class: 'rules' });
    const error = h('div');
    const go = h('button', { type: 'submit', class: 'primary' }, t('Save'));
    const add = h('button', { type: 'button' }, t('Add a rule'));
    const draw = (focus?: number) => {
      const useless = shadowed(rules);
      replace(list, rules.length > 0
        ? rules.map((rule, index) => ruleForm(rule, index, useless.includes(index), {
          change: () => refresh(),
          up: index > 0 ? () => {
            rules.splice(index - 1, 0, ...rules.splice(index, 1));
            draw(index - 1);
          } : undefined,
          remove: () => {
            rules.splice(index, 1);
            draw();
            add.focus();
          },
        }))
        : empty(t('No rule'), t('Clients send what the page or app asks for. Add a rule to give browsers, phones or an audience another codec, size or bitrate.')));
      add.disabled = rules.length >= MOST;
      if (focus !== undefined) list.querySelectorAll('select')[focus * 3]?.focus();
    };
    /** The words of the rules, while their controls stay. */
    const refresh = () => {
      const useless = shadowed(rules);
      list.querySelectorAll('legend').forEach((legend, index) => { legend.textContent = `${index + 1}. ${inWords(rules[index] ?? {})}`; });
      list.querySelectorAll<HTMLElement>('.hint').forEach((hint, index) => { hint.hidden = !useless.includes(index); });
    };
    add.addEventListener('click', () => {
      rules.push({});
      draw(rules.length - 1);
    });
    const form = h('form', {},
      h('p', { class: 'soft' }, t('A client follows the first rule for its platform and role. Clients learn the rules when they enter a room. An empty field leaves the choice to the client.')),
      list, add, error, h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(go, context.api.call('ModifyApplication', { SdkAppId: row.SdkAppId, Revision: row.Revision, Settings: settingsOf(rules) }), error).then(() => {
        close();
        changed();
        note(t('The application is changed. Every node follows within 2 seconds.'));
      }, () => {});
    });
    draw();
    return form;
  });
}

interface Moves { change: () => void; up: (() => void) | undefined; remove: () => void }

function ruleForm(rule: StreamProfile, index: number, isShadowed: boolean, moves: Moves): HTMLElement {
  const choice = (key: 'Platform' | 'Role' | 'Codec', label: string, every: string, options: [string, string][]) => {
    const control = select([['', every], ...options], rule[key] ?? '');
    control.addEventListener('change', () => {
      if (control.value) rule[key] = control.value;
      else delete rule[key];
      moves.change();
    });
    return field(label, control);
  };
  const value = (key: 'Width' | 'Height' | 'Framerate' | 'Bitrate' | 'Layers', label: string, min: number, max: number) => {
    const control = h('input', { type: 'number', min, max, value: rule[key] ?? '', inputmode: 'numeric' });
    control.addEventListener('input', () => {
      if (control.value === '') delete rule[key];
      else rule[key] = Number(control.value);
      moves.change();
    });
    return field(label, control);
  };
  const hint = h('p', { class: 'hint' }, t('No client follows this rule: one above it is for the same clients.'));
  hint.hidden = !isShadowed;
  return h('fieldset', {}, h('legend', {}, `${index + 1}. ${inWords(rule)}`), hint,
    h('div', { class: 'rule' },
      choice('Platform', t('Platform'), t('All platforms'), PLATFORMS.map((one) => [one, platformName(one)])),
      choice('Role', t('Role'), t('Every role'), ['anchor', 'audience'].map((one) => [one, roleName(one)])),
      choice('Codec', t('Codec'), t('The client’s'), Object.entries(CODECS)),
      value('Width', t('Width'), 16, 1920), value('Height', t('Height'), 16, 1920), value('Framerate', t('Frames a second'), 1, 60),
      value('Bitrate', t('Bitrate, kbit/s'), 30, 10_000), value('Layers', t('Sizes (1 to 3)'), 1, 3)),
    h('div', { class: 'row-actions' }, moves.up && h('button', { type: 'button', class: 'small', onclick: moves.up, 'aria-label': t('Earlier: rule {0}', index + 1) }, t('Earlier')),
      h('button', { type: 'button', class: 'small danger-text', onclick: moves.remove, 'aria-label': t('Take away: rule {0}', index + 1) }, t('Take away'))));
}
