#include "training_page.h"

namespace vlm::apps {

const char* const training_page_style = R"(
:root { color-scheme: light dark; --ground: #f6f7fb; --card: #fff; --ink: #1d2433; --faint: #66708a; --line: #e3e7f0; --grid: #edf0f6;
  --mark: #fff4d6; --right: #17794a; --right-ground: #e5f5ec; --wrong: #b3382c;
  --c0: #3451b2; --c1: #d9630b; --c2: #17794a; --c3: #9c36b5; --c4: #0b7f96; --c5: #c2255c; --c6: #866118; --c7: #5b6474; }
@media (prefers-color-scheme: dark) { :root { --ground: #12151c; --card: #1a1f29; --ink: #e6e9f0; --faint: #98a2b8; --line: #2b3240; --grid: #252b37;
  --mark: #3d3417; --right: #6fd3a0; --right-ground: #173527; --wrong: #ff8f84;
  --c0: #8aa4ff; --c1: #ffa15c; --c2: #63d39b; --c3: #d99af0; --c4: #5cc8dd; --c5: #ff86ad; --c6: #d8b25f; --c7: #aab4c6; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 36px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 18px 0 10px; font-weight: 600; }
h3:first-child { margin-top: 0; }
p { margin: 0 0 10px; color: var(--faint); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 20px 22px; margin-top: 18px; }
button, label.switch { font: inherit; font-size: 13px; color: var(--faint); background: none; border: 1px solid var(--line); border-radius: 999px; padding: 2px 11px; cursor: pointer; }
button:hover, label.switch:hover { color: var(--ink); border-color: var(--faint); }
label.switch input { accent-color: var(--c0); margin: 0 6px 0 0; vertical-align: -1px; }
.bar { position: sticky; top: 0; z-index: 3; display: flex; flex-wrap: wrap; gap: 8px; align-items: center; padding: 10px 0; background: var(--ground); }
.bar .gap { flex: 1; }
.run { display: inline-flex; align-items: center; gap: 7px; color: var(--ink); background: var(--card); }
.run.off { opacity: 0.45; }
.dot { width: 10px; height: 10px; border-radius: 50%; flex: none; display: inline-block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 26px 5px 0; vertical-align: top; white-space: nowrap; }
thead th { font-weight: 600; border-bottom: 1px solid var(--line); padding-bottom: 8px; }
tbody th { color: var(--faint); font-weight: 400; }
tr.group th, tr.group td { padding-top: 14px; }
td b { font-weight: 650; }
td small { color: var(--faint); font-size: 12.5px; margin-left: 6px; }
.config td, .config th { font-size: 13px; padding: 3px 22px 3px 8px; white-space: normal; overflow-wrap: anywhere; max-width: 420px; }
.config tbody th { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px; white-space: nowrap; }
.config tr.differs { background: var(--mark); }
.config tr.differs td, .config tr.differs th { color: var(--ink); font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 20px 22px; }
.charts.wide { grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); }
figure { margin: 0; position: relative; min-width: 0; }
figcaption { display: flex; justify-content: space-between; align-items: center; font-size: 13.5px; font-weight: 600; margin-bottom: 4px; min-height: 26px; }
figcaption button { font-weight: 400; font-size: 12px; padding: 0 9px; }
figcaption button.on { color: var(--card); background: var(--faint); border-color: var(--faint); }
svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
svg text { font-size: 11px; fill: var(--faint); font-family: inherit; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .axis { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
svg path.raw { stroke-width: 1; opacity: 0.28; }
svg .cursor { stroke: var(--faint); stroke-dasharray: 3 3; stroke-width: 1; }
.tip { position: absolute; pointer-events: none; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 6px 10px; font-size: 12.5px; line-height: 1.45;
  box-shadow: 0 4px 16px rgb(0 0 0 / 14%); white-space: nowrap; z-index: 2; font-variant-numeric: tabular-nums; }
.tip .dot { width: 8px; height: 8px; margin-right: 6px; }
.tip b { margin-left: 10px; float: right; }
.tip div { display: flow-root; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(215px, 1fr)); gap: 12px; }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 12px; font-size: 13.5px; line-height: 1.4; overflow-wrap: anywhere; }
.card img { display: block; height: 96px; max-width: 100%; object-fit: contain; margin: 0 auto 10px; border-radius: 4px; }
.card .line { padding: 2px 7px; border-radius: 5px; margin: 1px -7px; }
.card .said { font-weight: 600; }
.card .right { color: var(--right); background: var(--right-ground); font-weight: 600; }
.card .wrong { color: var(--wrong); font-weight: 600; }
.card .own { color: var(--faint); font-size: 12.5px; margin-top: 4px; }
@media print { .bar { position: static; } section { break-inside: avoid; } }
)";

}  // namespace vlm::apps
