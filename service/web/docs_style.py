"""How the reference page looks: one style sheet, in the page itself, for wide and narrow screens, light and dark."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2330; --dim: #5a6475; --paper: #fff; --tint: #f4f6f9; --line: #dce1e8;
  --link: #0b57b7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ef; --dim: #9aa5b5; --paper: #14181f; --tint: #1d232d; --line: #323a47; --link: #7db4ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
a { color: var(--link); }
h1, h2, h3, h4 { line-height: 1.25; margin: 2rem 0 .5rem; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1.1rem; overflow-wrap: anywhere; }
h4 { font-size: .8rem; color: var(--dim); text-transform: uppercase; letter-spacing: .05em; margin: 1.25rem 0 .4rem; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
p { overflow-wrap: anywhere; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; overflow-x: auto; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { margin: .2rem 0; font-size: .9rem; overflow-wrap: anywhere; }
nav h2 { font-size: 1rem; border: 0; margin: 1rem 0 .25rem; padding: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; }
td:first-child { white-space: nowrap; }
td:nth-child(2) { min-width: 7rem; }
td:last-child { min-width: 16rem; }
.method { display: inline-block; min-width: 4.2rem; font: 700 .8rem ui-monospace, monospace; color: var(--link); }
.dim { color: var(--dim); }
section.operation { padding-bottom: .5rem; }
main > h2:first-child { margin-top: 1rem; }
@media (max-width: 40rem) {
  td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 3.5rem; max-width: 9rem; }
  td:nth-last-child(3) { min-width: 8rem; }
  td:nth-child(2) { min-width: 5.5rem; }
  td:last-child { min-width: 10rem; }
}
@media (min-width: 64rem) {
  .page { display: grid; grid-template-columns: 19rem minmax(0, 1fr); gap: 2.5rem; }
  nav { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding-bottom: 2rem; }
}
"""
