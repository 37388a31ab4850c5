import type { Profiler } from "node:inspector";

interface Frame {
  readonly name: string;
  readonly owner: keyof typeof colours;
  /** Samples in it and in whatever it called. */
  total: number;
  readonly called: Map<string, Frame>;
}

const colours = { ours: "#e8743b", grpc: "#5b8def", other: "#8e6bbf", node: "#b8bfc6", engine: "#7fb77e" } as const;
const legend: Readonly<Record<keyof typeof colours, string>> = {
  ours: "this project",
  grpc: "grpc-js, protobufjs",
  other: "other packages",
  node: "Node.js",
  engine: "V8, system",
};
const [width, rowHeight, margin] = [1200, 18, 10];
/** Narrower boxes say nothing. */
const leastShare = 0.004;
/** Nothing runs in these. */
const idle = new Set(["(idle)", "(root)"]);

/** A CPU profile as an SVG: one row for each depth of calls, callers below, equal stacks merged. */
export function drawFlames(title: string, profile: Profiler.Profile): string {
  const root = merge(profile);
  const boxes: string[] = [];
  let depth = 0;
  const draw = (frame: Frame, x: number, level: number): void => {
    const share = frame.total / root.total;
    if (share < leastShare) return;
    depth = Math.max(depth, level);
    if (level > 0) boxes.push(box(frame, share, x, level));
    let next = x;
    for (const called of [...frame.called.values()].toSorted((a, b) => b.total - a.total)) {
      draw(called, next, level + 1);
      next += called.total / root.total;
    }
  };
  draw(root, 0, 0);
  const height = (depth + 3) * rowHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width + 2 * margin} ${height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${margin}" y="${rowHeight}" font-size="14">${escape(title)}</text>
${Object.entries(legend).map(legendEntry).join("\n")}
<g transform="translate(${margin} ${height - rowHeight})">
${boxes.join("\n")}
</g>
</svg>
`;
}

function merge({ nodes, samples = [] }: Profiler.Profile): Frame {
  const hits = new Map<number, number>();
  for (const id of samples) hits.set(id, (hits.get(id) ?? 0) + 1);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root: Frame = { name: "all", owner: "engine", total: 0, called: new Map() };
  const visit = (id: number, into: Frame): number => {
    const node = byId.get(id);
    if (!node) return 0;
    const { functionName, url } = node.callFrame;
    const frame = idle.has(functionName) ? into : childOf(into, functionName, url);
    let total = functionName === "(idle)" ? 0 : (hits.get(id) ?? 0);
    for (const child of node.children ?? []) total += visit(child, frame);
    if (frame !== into) frame.total += total;
    return total;
  };
  root.total = visit(nodes[0]?.id ?? 0, root);
  return root;
}

function childOf(parent: Frame, functionName: string, url: string): Frame {
  const [owner, place] = ownerOf(url);
  const name = `${functionName === "" ? "(anonymous)" : functionName}${place === "" ? "" : ` ${place}`}`;
  let frame = parent.called.get(name);
  if (!frame) parent.called.set(name, (frame = { name, owner, total: 0, called: new Map() }));
  return frame;
}

/** Whose code it is, and what to call its place. */
function ownerOf(url: string): [keyof typeof colours, string] {
  if (url === "") return ["engine", ""];
  if (url.startsWith("node:")) return ["node", url.replace("node:internal/", "")];
  const [, inPackage] = url.split("/node_modules/");
  if (inPackage === undefined) return ["ours", url.split("/").slice(-1).join("/")];
  const place = inPackage.split("/").filter((part) => !["build", "src", "dist", "lib"].includes(part));
  return [/^(@grpc|protobufjs|@protobufjs)/.test(inPackage) ? "grpc" : "other", place.slice(-2).join("/")];
}

function box({ name, owner }: Frame, share: number, x: number, level: number): string {
  const [left, wide] = [x * width, share * width];
  const fits = Math.floor((wide - 6) / 6);
  const text = fits < 4 ? "" : name.length > fits ? `${name.slice(0, fits - 1)}…` : name;
  const at = `x="${left.toFixed(1)}" y="${-level * rowHeight}"`;
  return `<g><title>${escape(name)}: ${(share * 100).toFixed(1)} %</title><rect ${at} width="${wide.toFixed(1)}" height="${rowHeight - 1}" fill="${colours[owner]}" stroke="#fff" stroke-width="0.5"/><text x="${(left + 3).toFixed(1)}" y="${-level * rowHeight + 13}">${escape(text)}</text></g>`;
}

function legendEntry([owner, text]: [string, string], nth: number): string {
  const x = width / 2 + nth * 120 - margin;
  const colour = colours[owner as keyof typeof colours];
  return `<rect x="${x}" y="8" width="12" height="12" fill="${colour}"/><text x="${x + 16}" y="18">${escape(text)}</text>`;
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
