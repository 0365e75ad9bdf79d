/** The application: Express as everybody knows it, and nothing of pools. Each process imports it once. */
import express from 'express';

const app = express();

app.get('/', (_request, response) => {
  response.type('text').send(`hello from ${process.pid}`);
});

/** Keeps a core busy for 5 ms. */
app.get('/work', (_request, response) => {
  const start = process.cpuUsage();
  for (let used = 0; used < 5000;) {
    const { user, system } = process.cpuUsage(start);
    used = user + system;
  }
  response.type('text').send(`hello from ${process.pid}`);
});

export default app;
