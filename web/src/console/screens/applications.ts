// Applications and their keys: read and, by an administrator, made, changed and rotated where the server has the actions.

import type { Context, Screen } from '../context';
import { h, replace, type Child } from '../dom';
import { dateTime } from '../format';
import { t } from '../i18n';
import { Table } from '../table';
import { ask, badge, busy, card, copyButton, dialog, empty, field, note, page, select } from '../ui';
import { editProfiles, type StreamProfile } from './stream_profiles';

type Settings = Record<string, unknown> & { StreamProfiles?: StreamProfile[] };
interface Secret { Purpose: string; CreateTime: number; IsEarlier: boolean }
interface Application { SdkAppId: number; Name: string; Origin: string; Revision?: number; CreateTime?: number; Secrets: Secret[]; Settings: Settings }
interface ApplicationPage { Applications: Application[]; Next?: number }
interface ApiKey { SecretId: string; SdkAppId?: number; Name: string; Scopes: string[]; CreateTime: number; ExpireTime?: number }
interface ApiKeyList { ApiKeys: ApiKey[] }

const SCOPES = ['mix', 'rooms', 'moderate', 'recordings', 'live', 'usage', 'admin'];

/** The settings that have a control here; the API has all of them. */
const CONTROLS: { name: string; label: string; kind: 'text' | 'number' | 'flag' | 'choice'; choices?: string[] }[] = [
  { name: 'CallbackUrl', label: 'Address of recording callbacks', kind: 'text' },
  { name: 'EventCallbackUrl', label: 'Address of room events', kind: 'text' },
  { name: 'CallPushUrl', label: 'Address that reaches invitees without a device', kind: 'text' },
  { name: 'TokenHookUrl', label: 'Address that checks tokens of your own accounts', kind: 'text' },
  { name: 'MaxMicrophones', label: 'Open microphones in a room (6 to 20)', kind: 'number' },
  { name: 'MaxCameras', label: 'Open cameras in a room (4 to 16)', kind: 'number' },
  { name: 'MaxMixes', label: 'Mixes at one time (0: no limit)', kind: 'number' },
  { name: 'RequiresPrivateMapKey', label: 'Members need a room ticket', kind: 'flag' },
  { name: 'MembersMayPush', label: 'Members may push to other servers', kind: 'flag' },
  { name: 'RecordPublishers', label: 'Whose own media is recorded', kind: 'choice', choices: ['none', 'named', 'all'] },
  { name: 'RelayPublishers', label: 'Whose own media is a live stream', kind: 'choice', choices: ['none', 'named', 'all'] },
  { name: 'RecordResumeSeconds', label: 'Seconds a publisher may be away in one recording', kind: 'number' },
  { name: 'RecordFileMinutes', label: 'Minutes until a new file begins (0: the server’s)', kind: 'number' },
  { name: 'RecordTimeZone', label: 'Time zone of file names (empty: the server’s)', kind: 'text' },
  { name: 'RecordRetentionDays', label: 'Days until files are deleted (0: never)', kind: 'number' },
  { name: 'RecordQuotaMb', label: 'MB for recorded files (0: no limit)', kind: 'number' },
  { name: 'RecordQuotaFull', label: 'When that space is full', kind: 'choice', choices: ['refuse', 'remove_oldest'] },
  { name: 'Disabled', label: 'Disabled: nobody logs in', kind: 'flag' },
];

/** The values of the API in words. */
const choiceName = (value: string) => ({
  none: t('nobody’s'), named: t('of members who name it'), all: t('everybody’s'), refuse: t('no recording begins'), remove_oldest: t('the oldest files are deleted'),
}[value] ?? value);

export const applications: Screen = (context) => {
  const { api } = context;
  if (!api.has('ListApplications') || !context.may('admin')) return readOnly(context);
  const error = h('div');
  const table = new Table<Application>(t('Applications'), [
    { title: t('Application'), cell: (row) => [h('strong', {}, row.SdkAppId), row.Name ? ` ${row.Name}` : ''] },
    { title: t('From'), cell: (row) => row.Origin === 'database' ? badge(t('database')) : badge(t('configuration file')) },
    { title: t('State'), cell: (row) => row.Settings.Disabled ? badge(t('disabled'), 'warn') : badge(t('in use'), 'good') },
    { title: t('Secrets'), cell: (row) => row.Secrets.length > 0 ? row.Secrets.map((secret) => badge(secret.IsEarlier ? t('{0}, earlier', secret.Purpose) : secret.Purpose, secret.IsEarlier ? 'warn' : 'plain')) : '–' },
    { title: t('Made'), cell: (row) => row.CreateTime ? dateTime(row.CreateTime) : '–' },
    { title: t('Actions'), cell: (row) => actions(context, row, () => poll.now()) },
  ], (row) => String(row.SdkAppId), () => empty(t('No application'), t('Make one: its back end gets a key of its own.')));
  const poll = context.follow(async () => {
    table.update((await api.call<ApplicationPage>('ListApplications', { PageSize: 500 })).Applications);
  }, error, 15_000);
  const create = h('button', { type: 'button', class: 'primary' }, t('Make an application'));
  create.addEventListener('click', () => edit(context, undefined, () => poll.now()));
  return page(t('Applications'), context.session.isAdmin && create, error, table.element, api.has('ListApiKeys') && keys(context));
};

function readOnly({ session, api }: Context): HTMLElement {
  return page(t('Applications'), '',
    card(t('Applications of this session'), session.applications.length > 0
      ? h('ul', {}, session.applications.map((id) => h('li', {}, h('strong', {}, id), id === api.application ? ` (${t('chosen')})` : '')))
      : empty(t('No application'), t('Configure [[applications]], or make one with `rotunda apps create`.'))),
    card(t('To change them'), h('p', {}, t('This session cannot change applications. On the server:'), ' ', h('code', {}, 'rotunda apps --help'), ', ', h('code', {}, 'rotunda keys --help'))));
}

function actions(context: Context, row: Application, changed: () => void): Child {
  if (row.Origin !== 'database') return h('span', { class: 'soft' }, t('changes in the configuration file'));
  const { api } = context;
  const id = row.SdkAppId;
  const button = (text: string, run: () => void, kind = 'small') => h('button', { type: 'button', class: kind, 'aria-label': `${text}: ${id}`, onclick: run }, text);
  const finishes = row.Secrets.some((secret) => secret.IsEarlier);
  return h('div', { class: 'row-actions' },
    button(t('Change'), () => edit(context, row, changed)),
    context.api.takes('ModifyApplication', 'Settings') && button(t('Video rules'), () => editProfiles(context, row, changed)),
    button(t('New secret'), () => rotate(context, row, changed)),
    finishes && button(t('End the earlier secret'), () => ask({
      title: t('End the earlier secret of {0}?', id), text: h('p', {}, t('Back ends that still use it are refused from now on.')), action: t('End it'), done: t('The earlier secret is valid no longer.'),
      run: () => api.call('RotateApplicationSecret', { SdkAppId: id, Purpose: row.Secrets.find((secret) => secret.IsEarlier)?.Purpose, Finish: true }).then(changed),
    })),
    context.session.isAdmin && button(t('Delete'), () => ask({
      title: t('Delete application {0}?', id), text: h('p', {}, t('Its secrets and API keys go with it. Members who are inside stay until they leave.')), action: t('Delete'), done: t('The application is deleted.'),
      run: () => api.call('DeleteApplication', { SdkAppId: id }).then(() => {
        changed();
        setTimeout(context.refresh, 3000);
      }),
    }), 'small danger-text'));
}

/** Secrets that are shown once. */
function reveal(title: string, secrets: [string, string | number][], closed: () => void = () => {}): void {
  dialog(title, () => [h('p', {}, t('Keep these now: they are never shown again.')), h('dl', { class: 'addresses' }, secrets.map(([name, value]) =>
    [h('dt', {}, name), h('dd', {}, h('code', {}, value), copyButton(() => String(value), t('Copy {0}', name)))]))], closed);
}

function rotate(context: Context, row: Application, changed: () => void): void {
  dialog(t('New secret of {0}', row.SdkAppId), (close) => {
    const error = h('div');
    const purpose = select([['user_sig', t('UserSigs and room tickets')], ['callback', t('Callbacks')], ['play', t('Playback addresses')]], 'user_sig');
    const go = h('button', { type: 'submit', class: 'primary' }, t('Make it'));
    const form = h('form', {}, field(t('The secret that signs'), purpose),
      h('p', { class: 'soft' }, t('The new and the present secret of UserSigs are both valid until you end the earlier one. Callbacks and playback addresses have the newest alone.')),
      error, h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(go, context.api.call<{ Secret?: string }>('RotateApplicationSecret', { SdkAppId: row.SdkAppId, Purpose: purpose.value }), error).then((made) => {
        close();
        changed();
        reveal(t('New secret of {0}', row.SdkAppId), [[purpose.value, made.Secret ?? '']]);
      }, () => {});
    });
    return form;
  });
}

function edit(context: Context, row: Application | undefined, changed: () => void): void {
  const { api } = context;
  const action = row ? 'ModifyApplication' : 'CreateApplication';
  dialog(row ? t('Change application {0}', row.SdkAppId) : t('Make an application'), (close) => {
    const error = h('div');
    const name = h('input', { value: row?.Name ?? '', maxlength: 128 });
    const inputs = CONTROLS.map(({ name: key, label, kind, choices }) => {
      const before = row?.Settings[key] as string | number | boolean | undefined;
      const initial = choices?.includes('named') ? 'named' : choices?.[0] ?? '';
      if (kind === 'flag') {
        const box = h('input', { type: 'checkbox' });
        box.checked = before === true;
        return { key, element: h('label', { class: 'check' }, box, t(label)), value: () => box.checked, before: before === true };
      }
      const control = kind === 'choice' ? select((choices ?? []).map((one) => [one, choiceName(one)]), String(before ?? initial))
        : h('input', { type: kind === 'number' ? 'number' : 'text', min: 0, value: before === undefined ? '' : String(before) });
      const value = () => kind === 'number' ? (control.value === '' ? undefined : Number(control.value)) : control.value;
      return { key, element: field(t(label), control), value, before: kind === 'number' ? before : before ?? initial };
    });
    const go = h('button', { type: 'submit', class: 'primary' }, row ? t('Save') : t('Make it'));
    const form = h('form', {}, field(t('Name'), name), inputs.map((input) => input.element), error,
      h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      // What is unchanged is left out, so that the server's defaults stay.
      const settings = Object.fromEntries(inputs.filter((input) => input.value() !== input.before && input.value() !== undefined).map((input) => [input.key, input.value()]));
      const parameters = { ...row ? { SdkAppId: row.SdkAppId, Revision: row.Revision } : {}, Name: name.value, ...Object.keys(settings).length > 0 ? { Settings: settings } : {} };
      busy(go, api.call<{ SdkAppId?: number; SecretKey?: string; CallbackKey?: string; PlayKey?: string }>(action, parameters), error).then((made) => {
        close();
        changed();
        const secrets: [string, string | number][] = [];
        for (const name of ['SdkAppId', 'SecretKey', 'CallbackKey', 'PlayKey'] as const) {
          const value = made[name];
          if (value !== undefined) secrets.push([name, value]);
        }
        if (made.SecretKey || made.CallbackKey) {
          // Nodes serve it within 2 seconds.
          setTimeout(context.refresh, 3000);
          reveal(t('Application {0}', made.SdkAppId ?? row?.SdkAppId ?? ''), secrets, context.refresh);
        }
        if (!made.SecretKey) note(t('The application is changed. Every node follows within 2 seconds.'));
      }, () => {});
    });
    return form;
  });
}

function keys(context: Context): HTMLElement {
  const { api } = context;
  const error = h('div');
  const table = new Table<ApiKey>(t('API keys'), [
    { title: t('Key'), cell: (row) => [h('code', { class: 'break' }, row.SecretId), row.Name ? ` ${row.Name}` : ''] },
    { title: t('Application'), cell: (row) => row.SdkAppId ?? t('all') },
    { title: t('May use'), cell: (row) => row.Scopes.map((scope) => badge(scope)) },
    { title: t('Expires'), cell: (row) => row.ExpireTime ? dateTime(row.ExpireTime) : t('never') },
    { title: t('Actions'), cell: (row) => h('div', { class: 'row-actions' }, h('button', {
      type: 'button', class: 'small danger-text', 'aria-label': `${t('Delete')}: ${row.SecretId}`, onclick: () => ask({
        title: t('Delete this key?'), text: h('p', { class: 'break' }, row.SecretId), action: t('Delete'), done: t('The key opens nothing any more within 2 seconds.'),
        run: () => api.call('DeleteApiKey', { SecretId: row.SecretId }).then(() => poll.now()),
      }) }, t('Delete'))) },
  ], (row) => row.SecretId, () => empty(t('No API key in the database'), t('Make one with only the scopes that its back end needs.')));
  const poll = context.follow(async () => {
    table.update((await api.call<ApiKeyList>('ListApiKeys', { PageSize: 500 })).ApiKeys);
  }, error, 15_000);
  const create = h('button', { type: 'button' }, t('Make an API key'));
  create.addEventListener('click', () => dialog(t('Make an API key'), (close) => {
    const failed = h('div');
    const name = h('input', { maxlength: 128 });
    const days = h('input', { type: 'number', min: 1, max: 36500, placeholder: t('never') });
    const boxes = h('fieldset', {}, h('legend', {}, t('May use')), SCOPES.filter((scope) => context.may(scope)).map((scope) =>
      h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'scope', value: scope }), scope)));
    const go = h('button', { type: 'submit', class: 'primary' }, t('Make it'));
    const form = h('form', {}, field(t('Name'), name), boxes, field(t('Days until it expires'), days), failed,
      h('div', { class: 'dialog-foot' }, h('button', { type: 'button', onclick: close }, t('Cancel')), go));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const scopes = [...boxes.querySelectorAll<HTMLInputElement>('input:checked')].map((box) => box.value);
      const parameters = { SdkAppId: api.application, Name: name.value, Scopes: scopes, ...days.value ? { Days: Number(days.value) } : {} };
      busy(go, api.call<{ SecretId: string; ApiSecret: string }>('CreateApiKey', parameters), failed).then((made) => {
        close();
        poll.now();
        reveal(t('API key'), [['SecretId', made.SecretId], ['ApiSecret', made.ApiSecret]]);
      }, () => {});
    });
    return form;
  }));
  replace(error);
  return card(t('API keys'), create, error, table.element);
}
