// The looks of the component: dark and light, phone first.

export const STYLE = `
:host {
  --ground: #eceae5; --card: #fff; --ink: #1c1e22; --soft: #5c5f67; --line: #d5d2ca; --tile: #23262c; --on-tile: #fff;
  --accent: #2c6e63; --on-accent: #fff; --danger: #b3392f; --on-danger: #fff; --shadow: 0 12px 40px rgb(0 0 0 / 28%);
  color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; color: var(--ink);
}
@media (prefers-color-scheme: dark) {
  :host { --ground: #14161a; --card: #1d2026; --ink: #e9e8e4; --soft: #a3a6ae; --line: #3a3f48; --accent: #4fa392; --on-accent: #0d1413; --danger: #b8473c; }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button, input { font: inherit; color: inherit; }
button { cursor: pointer; border: 1px solid var(--line); background: var(--card); border-radius: 999px; min-height: 44px; padding: 0 1rem; }
button:disabled { opacity: 0.5; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.icon { width: 24px; height: 24px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; flex: none; }
.danger { background: var(--danger); border-color: var(--danger); color: var(--on-danger); }
.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
.avatar { display: grid; place-items: center; overflow: hidden; width: var(--size, 88px); height: var(--size, 88px); border-radius: 50%; background: var(--accent); color: var(--on-accent); font-size: calc(var(--size, 88px) * 0.42); font-weight: 600; text-transform: uppercase; flex: none; }
.avatar img { width: 100%; height: 100%; object-fit: cover; }

.incoming { position: fixed; z-index: 2147483002; inset: auto 0 0; margin: 0 auto; width: 100%; max-width: 26rem; padding: 1.4rem 1.2rem calc(1.2rem + env(safe-area-inset-bottom)); border-radius: 22px 22px 0 0; background: var(--card); box-shadow: var(--shadow); display: grid; justify-items: center; gap: 0.5rem; text-align: center; }
.incoming h2 { margin: 0.3rem 0 0; font-size: 1.35rem; overflow-wrap: anywhere; }
.incoming p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.incoming .answers { display: flex; gap: 0.8rem; width: 100%; margin-top: 0.9rem; }
.incoming .answers button { flex: 1; min-height: 52px; display: flex; align-items: center; justify-content: center; gap: 0.5rem; }
.incoming .avatar { animation: ring 1.6s ease-in-out infinite; }
@keyframes ring { 50% { box-shadow: 0 0 0 12px color-mix(in srgb, var(--accent) 25%, transparent); } }
@media (min-width: 600px) { .incoming { inset: 1.2rem 1.2rem auto auto; margin: 0; border-radius: 20px; padding-bottom: 1.2rem; } }

.call { position: fixed; z-index: 2147483001; inset: 0; display: grid; grid: auto auto minmax(0, 1fr) auto / minmax(0, 1fr); background: var(--ground); outline: none; }
.head { display: flex; align-items: center; gap: 0.7rem; padding: calc(0.6rem + env(safe-area-inset-top)) 0.9rem 0.6rem; min-width: 0; }
.head .title { flex: 1; min-width: 0; }
.head h2 { margin: 0; font-size: 1.05rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.head p { margin: 0; color: var(--soft); font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.round { display: grid; place-items: center; width: 44px; padding: 0; }
.tiles { position: relative; min-height: 0; padding: 10px; display: flex; flex-wrap: wrap; gap: 10px; place-content: center; overflow: auto; }
.tile { position: relative; width: var(--width, 100%); aspect-ratio: 16 / 9; border-radius: 14px; overflow: hidden; background: var(--tile); color: var(--on-tile); display: grid; place-items: center; }
.tile video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; background: var(--tile); }
.tile.own video { transform: scaleX(-1); }
.tile.speaking { box-shadow: 0 0 0 3px var(--accent); }
.tile.rings { opacity: 0.75; }
.tile .name { position: absolute; left: 8px; bottom: 8px; max-width: calc(100% - 16px); padding: 2px 9px; border-radius: 9px; background: rgb(0 0 0 / 68%); color: #fff; font-size: 0.85rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tile .avatar { --size: clamp(44px, calc(var(--width, 200px) * 0.3), 110px); }
.tiles.presents { display: grid; grid-template: minmax(0, 1fr) auto / minmax(0, 1fr) repeat(var(--count, 1), minmax(6.5rem, 11rem)) minmax(0, 1fr); place-content: stretch; overflow: auto hidden; }
.tiles.presents::before { content: ''; grid-area: 2 / 1; }
.tiles.presents .tile { width: auto; grid-row: 2; }
.tiles.presents .tile .avatar { --size: 44px; }
.tiles.presents .tile.screen { grid-area: 1 / 1 / 2 / -1; aspect-ratio: auto; position: sticky; left: 0; width: var(--wide, 100%); }
.tile.screen video { object-fit: contain; }
.notices { display: grid; gap: 0.5rem; padding: 0 0.9rem; }
.notice { display: flex; align-items: center; gap: 0.6rem; padding: 0.5rem 0.5rem 0.5rem 1rem; border-radius: 14px; border: 1px solid var(--danger); background: var(--card); }
.notice p { flex: 1; min-width: 0; margin: 0; font-size: 0.95rem; overflow-wrap: anywhere; }
.foot { display: flex; flex-wrap: wrap; justify-content: center; gap: 0.5rem; padding: 0.7rem 0.6rem calc(0.8rem + env(safe-area-inset-bottom)); }
.foot button { display: grid; justify-items: center; align-content: center; gap: 2px; min-width: 4.6rem; min-height: 58px; padding: 0.25rem 0.5rem; border-radius: 16px; font-size: 0.78rem; line-height: 1.2; }
.foot button[aria-pressed='true'] { background: var(--ink); border-color: var(--ink); color: var(--card); }
.add { position: absolute; z-index: 1; left: 50%; bottom: 5.6rem; translate: -50% 0; width: min(24rem, calc(100% - 1.6rem)); display: grid; gap: 0.6rem; padding: 1rem; border-radius: 18px; background: var(--card); box-shadow: var(--shadow); }
.add label { display: grid; gap: 0.3rem; color: var(--soft); font-size: 0.9rem; }
.add.devices { bottom: auto; top: 4.2rem; left: auto; right: 0.9rem; translate: none; max-height: calc(100% - 5rem); overflow: auto; }
.add select { min-height: 44px; font: inherit; padding: 0 0.6rem; border: 1px solid var(--line); border-radius: 12px; background: var(--ground); color: var(--ink); width: 100%; min-width: 0; text-overflow: ellipsis; }
.add input { min-height: 44px; padding: 0 0.8rem; border: 1px solid var(--line); border-radius: 12px; background: var(--ground); color: var(--ink); width: 100%; }
.add div { display: flex; gap: 0.6rem; }
.add div button { flex: 1; }

.call.small { inset: auto 1rem 1rem auto; border: 1px solid var(--line); width: 13.5rem; height: auto; border-radius: 18px; overflow: hidden; box-shadow: var(--shadow); grid: auto auto auto / minmax(0, 1fr); touch-action: none; cursor: move; }
.call.small .head { padding: 0.4rem 0.4rem 0.4rem 0.8rem; }
.call.small .head h2 { font-size: 0.9rem; }
.call.small .tiles { padding: 0 6px 6px; }
.call.small .tile:not(.first) { display: none; }
.call.small .tile { width: 100%; border-radius: 12px; }
.call.small .foot, .call.small .notices, .call.small [data-action='devices'] { display: none; }
.call.small .tiles.presents { display: block; overflow: hidden; }
.call.small .tiles.presents .tile:not(.screen) { display: none; }
.call.small .tiles.presents .tile.screen { position: relative; width: 100%; aspect-ratio: 16 / 9; }

.toast { position: fixed; z-index: 2147483003; left: 50%; top: calc(1rem + env(safe-area-inset-top)); translate: -50% 0; width: max-content; max-width: min(30rem, calc(100vw - 2rem)); padding: 0.6rem 1.1rem; border-radius: 14px; background: #1c1e22; color: #fff; box-shadow: var(--shadow); text-align: center; overflow-wrap: anywhere; }
.toast:empty { display: none; }
@media (max-width: 480px) { .foot { gap: 0.35rem; } .foot button { min-width: 0; flex: 1 1 0; padding: 0.25rem 0.1rem; font-size: 0.7rem; } }
@media (prefers-reduced-motion: reduce) { .incoming .avatar { animation: none; } }
`;
