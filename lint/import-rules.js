export const importRules = [];
