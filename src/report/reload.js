setTimeout(() => {
  if (!getSelection()?.toString()) location.reload();
}, 10000);
