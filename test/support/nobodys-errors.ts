/** Loaded before main.ts (`node --import`): errors that belong to no request, one for each signal. */
process.on("SIGUSR2", () => {
  throw new Error("thrown where nobody catches");
});
process.on("SIGHUP", () => {
  // No Error: Node itself would make another sentence of it.
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
  void Promise.reject("rejected where nobody awaits");
});
