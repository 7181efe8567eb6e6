/* plugin/browser.h: a page shown to whoever sits at this machine. */
#ifndef FLY_PLUGIN_BROWSER_H
#define FLY_PLUGIN_BROWSER_H

/* 1: there is a desktop to show it on. */
int fly_browser_is_desktop(void);

/* Open http://127.0.0.1:PORT/ by xdg-open once it answers, in a process of its own; nothing where there is no
 * xdg-open, or nothing answers within 5 s. */
void fly_browser_open(const char *url);

#endif
