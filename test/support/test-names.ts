import ts from "typescript";

/**
 * The names of the tests and groups in a file that run, and the strings of their tables (`test.each`), which become part of
 * the names. What stands in comments, in the bodies of tests, or in `test.skip` is none.
 */
export function testNamesIn(text: string): string[] {
  const file = ts.createSourceFile("test.ts", text, ts.ScriptTarget.Latest);
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const called = node.expression.getText(file);
      if (/^(?:test|describe)[\w.]*\.(?:skip|todo)\b|^x(?:test|it|describe)\b/.test(called)) return;
      if (/^(?:test|describe\w*)\b|^\(\w+ \? test : test\.skip\)$/.test(called)) {
        names.push(...node.arguments.flatMap((argument) => stringsIn(argument, file)));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return names;
}

function stringsIn(node: ts.Node, file: ts.SourceFile): string[] {
  if (ts.isFunctionLike(node)) return [];
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node)) return [node.getText(file).slice(1, -1)];
  const found: string[] = [];
  ts.forEachChild(node, (child) => void found.push(...stringsIn(child, file)));
  return found;
}
