// Starts a mix, or changes a running one: a form, a canvas of cells, and the same as an API call.

import { curl } from '../api';
import { Canvas } from '../canvas';
import type { Context } from '../context';
import { h, replace, type Child } from '../dom';
import { t } from '../i18n';
import { MOST_CELLS, grid, inset, newDesign, scaled, sideBySide, startCall, type Cell, type Design, type Template } from '../layout';
import { livePlayer } from '../player';
import { afterTyping, badge, busy, card, copyButton, field, note, page, problem, select } from '../ui';
import type { MemberList, Mix, MixList } from '../types';
import { health, stopMix } from './mixes';

const kept = (application: number, stream: string) => `rotunda-mix-${application}-${stream}`;

function begin(context: Context): { design: Design; isKnown: boolean } {
  const room = context.query.get('room') ?? '';
  const stream = context.query.get('stream') ?? '';
  const fresh = newDesign(room);
  if (!stream) return { design: fresh, isKnown: true };
  try {
    const text = localStorage.getItem(kept(context.api.application, stream));
    if (text) return { design: { ...fresh, ...JSON.parse(text) as Design, room, streamId: stream }, isKnown: true };
  } catch {
    // Of another version, or storage is forbidden.
  }
  const size = { width: Number(context.query.get('width')) || fresh.width, height: Number(context.query.get('height')) || fresh.height };
  return { design: { ...fresh, ...size, cells: sideBySide(size), streamId: stream }, isKnown: false };
}

export function mixEditor(context: Context): HTMLElement {
  const { api } = context;
  const isEdit = context.path[0] === 'edit';
  const start = begin(context);
  let { design } = start;
  let members: string[] = [];
  let running: Mix | undefined;
  let player: ReturnType<typeof livePlayer> | undefined;
  let playing = '';

  const error = h('div');
  const state = h('div', { class: 'mix-state' });
  const live = h('div');
  const preview = h('div');
  const cellForm = h('div');
  const code = h('pre', { tabindex: '0', 'aria-label': t('API call') });
  const names = h('datalist', { id: 'mix-members' });
  const canvas = new Canvas((cells) => change({ cells }), () => { redraw(); drawCell(); });

  // --- the form
  const input = (key: 'room' | 'streamId' | 'recordId' | 'push', properties: Record<string, string | boolean> = {}) => {
    const control = h('input', { value: design[key], autocomplete: 'off', spellcheck: 'false', ...properties });
    control.addEventListener('input', () => {
      change({ [key]: control.value.trim() });
      if (key === 'room' && !stream.value) stream.placeholder = newDesign(control.value.trim()).streamId;
      if (key === 'room') readMembers();
    });
    return control;
  };
  const stream = input('streamId', { pattern: '[A-Za-z0-9_\\-]{1,64}', maxlength: '64', title: t('Letters, digits, _ and -') });
  const room = input('room', { required: true });
  if (isEdit) for (const control of [room, stream]) control.readOnly = true;
  const quantity = (key: 'fps' | 'kbps' | 'gop' | 'audioKbps', min: number, max: number) => {
    const control = h('input', { type: 'number', min, max, required: true, value: design[key] });
    control.addEventListener('input', () => { if (control.checkValidity()) change({ [key]: Number(control.value) }); });
    return control;
  };
  const sizes = ['1920x1080', '1280x720', '854x480', '640x360', '1080x1080', '720x1280', '360x640'];
  const current = `${design.width}x${design.height}`;
  const size = select([...new Set([current, ...sizes])].map((one) => [one, one.replace('x', '×')]), current);
  size.addEventListener('change', () => {
    const [width = 1280, height = 720] = size.value.split('x').map(Number);
    change({ width, height, cells: scaled(design.cells, design, { width, height }) });
    drawCell();
  });
  const templates: [string, string][] = [['1', t('Grid')], ['0', t('Float')], ['2', t('Screen share')], ['3', t('Picture in picture')], ['4', t('Own cells')]];
  const template = select(templates, String(design.template));
  template.addEventListener('change', () => {
    change({ template: Number(template.value) as Template });
    drawTemplate();
  });
  const background = h('input', { type: 'color', value: design.background });
  background.addEventListener('input', () => change({ background: background.value }));
  const showNames = h('input', { type: 'checkbox' });
  showNames.checked = design.showNames;
  showNames.addEventListener('change', () => change({ showNames: showNames.checked }));
  const member = (key: 'mainUser' | 'smallUser') => {
    const control = h('input', { value: design[key], list: 'mix-members', autocomplete: 'off' });
    control.addEventListener('input', () => change({ [key]: control.value.trim() }));
    return control;
  };
  const ofTemplate = h('div');
  const drawTemplate = () => {
    replace(ofTemplate,
      [0, 2, 3].includes(design.template) && field(t('Main member'), member('mainUser'), design.template === 2 ? t('Their shared screen is the large cell.') : t('Empty: the first in the room.')),
      design.template === 3 && field(t('Small member'), member('smallUser'), t('Needed: who is shown in the corner.')),
      design.template === 4 && [h('div', { class: 'segments', role: 'group', 'aria-label': t('Arrangement') },
        ([[t('Side by side'), sideBySide], [t('Corner'), inset], [t('Four'), (size: Design) => grid(size, 4)], [t('Nine'), (size: Design) => grid(size, 9)]] as [string, (size: Design) => Cell[]][]).map(([text, make]) =>
          h('button', { type: 'button', class: 'small', onclick: () => { canvas.selected = 0; change({ cells: make(design) }); drawCell(); } }, text))), cellForm]);
    drawCell();
  };
  const setCell = (part: Partial<Cell>) => change({ cells: design.cells.map((one, index) => (index === canvas.selected ? { ...one, ...part } : one)) });
  const drawCell = () => {
    const cell = design.cells[canvas.selected];
    const add = h('button', { type: 'button', class: 'small', disabled: design.cells.length >= MOST_CELLS, onclick: () => {
      const made = { x: 32, y: 32, width: Math.floor(design.width / 8) * 2, height: Math.floor(design.height / 8) * 2, user: '', stream: 0, render: 0 } as Cell;
      canvas.selected = design.cells.length;
      change({ cells: [...design.cells, made] });
      drawCell();
    } }, t('Add a cell'));
    if (!cell) return replace(cellForm, add);
    const user = h('input', { value: cell.user, list: 'mix-members', autocomplete: 'off' });
    user.addEventListener('input', () => setCell({ user: user.value.trim() }));
    const source = select([['0', t('camera')], ['1', t('screen')]], String(cell.stream));
    source.addEventListener('change', () => setCell({ stream: Number(source.value) as 0 | 1 }));
    const render = select([['0', t('cut to fit')], ['1', t('whole, on the background')], ['2', t('whole, on black')]], String(cell.render));
    render.addEventListener('change', () => setCell({ render: Number(render.value) as 0 | 1 | 2 }));
    const layer = (by: number) => {
      const to = canvas.selected + by;
      const cells = [...design.cells];
      const [taken] = cells.splice(canvas.selected, 1);
      if (!taken || to < 0 || to > cells.length) return;
      cells.splice(to, 0, taken);
      canvas.selected = to;
      change({ cells });
      drawCell();
    };
    replace(cellForm, h('fieldset', {}, h('legend', {}, t('Cell {0}', canvas.selected + 1)),
      field(t('Member'), user, t('Empty: members in the order in which they entered.')), h('div', { class: 'pair' }, field(t('Video'), source), field(t('Fit'), render)),
      h('div', { class: 'row-actions' }, add, h('button', { type: 'button', class: 'small', onclick: () => layer(1) }, t('To the front')), h('button', { type: 'button', class: 'small', onclick: () => layer(-1) }, t('To the back')),
        h('button', { type: 'button', class: 'small danger-text', disabled: design.cells.length < 2, onclick: () => {
          change({ cells: design.cells.filter((_, index) => index !== canvas.selected) });
          canvas.selected = Math.max(0, canvas.selected - 1);
          redraw();
          drawCell();
        } }, t('Remove the cell')))));
  };

  // --- what follows a change
  const follow = h('input', { type: 'checkbox', id: 'follow' });
  const complete = (): Design => ({ ...design, streamId: design.streamId || newDesign(design.room).streamId });
  const call = () => startCall(complete(), api.application);
  const redraw = () => {
    canvas.draw(design, members);
    code.textContent = JSON.stringify(call().parameters, null, 2);
  };
  const drawPreview = afterTyping(() => void showPreview(), 600);
  const applySoon = afterTyping(() => { if (running && follow.checked) void apply(); }, 500);
  function change(part: Partial<Design>): void {
    design = { ...design, ...part };
    redraw();
    drawPreview();
    applySoon();
  }
  async function showPreview(): Promise<void> {
    if (!api.has('PreviewLayout')) return;
    const { EncodeParams, LayoutParams } = call().parameters as { EncodeParams: object; LayoutParams: object };
    const who = members.length > 0 ? { Members: members.slice(0, 32).map((UserId) => ({ UserId })) } : {};
    try {
      const drawn = await api.call<{ Png: string }>('PreviewLayout', { EncodeParams, LayoutParams, ...who });
      replace(preview, h('figure', {}, h('img', { src: `data:image/png;base64,${drawn.Png}`, alt: t('The mix as the mixer draws it, with name cards') }), h('figcaption', { class: 'soft' }, t('As the mixer draws it'))));
    } catch (failed) {
      replace(preview, problem(failed));
    }
  }
  const go = h('button', { type: 'submit', class: 'primary' }, t('Start the mix'));
  async function apply(): Promise<void> {
    const { action, parameters } = call();
    await busy(go, api.call(action, parameters), error);
    try {
      localStorage.setItem(kept(api.application, complete().streamId), JSON.stringify(complete()));
    } catch {
      // The next visit begins with a new layout.
    }
    poll.now();
  }

  // --- what runs
  const drawState = () => {
    const stop = h('button', { type: 'button', class: 'danger-text', onclick: () => running && stopMix(context, running.Room, running.StreamId, () => poll.now()) }, t('Stop'));
    go.textContent = running ? t('Apply') : t('Start the mix');
    replace(state, running && [running.Runs ? badge(t('runs'), 'good') : badge(t('begins'), 'warn'), h('span', { class: 'soft' }, t('change {0}', running.Revision)), health(running.Health),
      h('label', { class: 'check' }, follow, t('Apply while I edit')), stop] as Child[]);
    const wanted = running?.Runs ? running.StreamId : '';
    if (wanted === playing) return;
    playing = wanted;
    player?.end();
    player = wanted ? livePlayer(api.application, wanted) : undefined;
    replace(live, player && [h('h2', {}, t('Live')), player.element]);
  };
  context.onLeave(() => player?.end());
  const poll = context.follow(async () => {
    const { room: name, streamId } = complete();
    if (!streamId) return;
    const search = api.takes('ListMixes', 'Search') ? { Search: streamId } : {};
    const found = await api.call<MixList>('ListMixes', { ...search, PageSize: 500 });
    running = found.Mixes.find((mix) => mix.StreamId === streamId && mix.Room === name && mix.Origin === 'api');
    drawState();
  }, h('div'), 2000);
  const read = context.follow(async () => {
    if (!design.room || !context.may('rooms')) return;
    let found: string[] = [];
    try {
      const list = await api.call<MemberList>('ListMembers', { Room: design.room });
      found = list.Members.filter((one) => one.Tracks.length > 0).map((one) => one.UserId);
    } catch {
      // Nobody is there; the call itself says so when it is started.
    }
    if (found.join('\n') === members.join('\n')) return;
    members = found;
    replace(names, members.map((name) => h('option', { value: name })));
    redraw();
    drawPreview();
  }, h('div'), 5000);
  const readMembers = afterTyping(() => read.now());

  const form = h('form', { class: 'mix-form' }, names,
    h('div', { class: 'pair' }, field(t('Room'), room, t('Digits are a numeric room, `text:` before digits makes a text room.')), field(t('Stream id'), stream, t('Players ask for it.'))),
    field(t('Layout'), template), ofTemplate,
    h('div', { class: 'pair' }, field(t('Frame size'), size), field(t('Background'), background)),
    h('label', { class: 'check' }, showNames, t('Names in the videos')),
    h('details', {}, h('summary', {}, t('Encoding')), h('div', { class: 'pair' }, field(t('Frames a second'), quantity('fps', 1, 60)), field(t('Video, kbit/s'), quantity('kbps', 1, 10_000)), field(t('Seconds between keyframes'), quantity('gop', 1, 5)), field(t('Audio, kbit/s'), quantity('audioKbps', 8, 500)))),
    h('details', {}, h('summary', {}, t('Recording and push')), field(t('Record id'), input('recordId', { maxlength: '64' }), t('Gives the name of the files; empty: no recording.')), field(t('Push to'), input('push', { placeholder: 'rtmp://' }), t('An RTMP address; empty: none.'))),
    error, h('div', { class: 'dialog-foot' }, go));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const was = running;
    apply().then(() => note(was ? t('The layout is changed.') : t('The mix starts.')), () => {});
  });
  drawTemplate();
  redraw();
  drawPreview();
  const isUnknown = isEdit && !start.isKnown;
  return page(isEdit ? t('Mix {0}', design.streamId) : t('Start a mix'), '', h('p', {}, h('a', { href: '#/mixes' }, `‹ ${t('All mixes')}`)), state,
    isUnknown && h('p', { class: 'hint' }, t('This mix was started elsewhere, so its layout and encoding are not known here: what you apply replaces them.')),
    h('div', { class: 'editor' }, h('div', {}, canvas.element, h('p', { class: 'soft' }, t('With own cells: drag them, or move them with the arrow keys; Shift and an arrow changes the size.')), preview, live), form),
    card(t('The same as an API call'), h('div', { class: 'row-actions' }, copyButton(() => JSON.stringify(call().parameters, null, 2), t('Copy JSON')), copyButton(() => curl(call().action, call().parameters), t('Copy curl'))),
      h('details', {}, h('summary', {}, 'JSON'), code)));
}
