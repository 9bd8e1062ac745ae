#include "fetch/fold.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"

/* Characters that stand for others of ASCII by Unicode's tables of compatibility (NFKC) and of
 * case, as far as letters, digits, ".", "-", "_" and "$" alone come of it: `first` for the first
 * word, the next one for the second word; "*" is passed over. Fullwidth and mathematical ones are
 * left to plain_form(). */
static const struct {
    uint32_t first;
    const char *words;
} forms[] = {
    {0xaa, "a"},
    {0xb2, "2 3 * * * * * 1 o"},
    {0xdf, "ss"},
    {0x131, "i ij ij"},
    {0x17f, "s"},
    {0x1c7, "lj lj lj nj nj nj"},
    {0x1f1, "dz dz dz"},
    {0x2b0, "h * j r * * * w y"},
    {0x2e1, "l s x"},
    {0x1d2c, "a * b * d e * g h i j k l m n * o * p r t u w a * * * b d e * * * g * k m * o "
             "* * * p t u * * v * * * * * * i r u v"},
    {0x1d9c, "c * * * f"},
    {0x1dbb, "z"},
    {0x1e9e, "ss"},
    {0x2024, ". .. ..."},
    {0x2070, "0 i * * 4 5 6 7 8 9 * * * * * n 0 1 2 3 4 5 6 7 8 9 * * * * * * a e o x * h k "
             "l m n p s t"},
    {0x20a8, "rs"},
    {0x2102, "c"},
    {0x210a, "g h h h h * i i l l * n no * * p q r r r * * sm tel tm * z * * * z * k * b c * "
             "e e f * m o * * * * i * fax"},
    {0x2145, "d d e i j"},
    {0x2160, "i ii iii iv v vi vii viii ix x xi xii l c d m i ii iii iv v vi vii viii ix x "
             "xi xii l c d m"},
    {0x2460, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"},
    {0x2488, "1. 2. 3. 4. 5. 6. 7. 8. 9. 10. 11. 12. 13. 14. 15. 16. 17. 18. 19. 20."},
    {0x24b6, "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m "
             "n o p q r s t u v w x y z 0"},
    {0x2c7c, "j v"},
    {0x3250, "pte 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35"},
    {0x32b1, "36 37 38 39 40 41 42 43 44 45 46 47 48 49 50"},
    {0x32cc, "hg erg ev ltd"},
    {0x3371, "hpa da au bar ov pc dm dm2 dm3 iu * * * * * pa na * ma ka kb mb gb cal kcal pf "
             "nf * * mg kg hz khz mhz ghz thz * ml dl kl fm nm * mm cm km mm2 cm2 m2 km2 mm3 "
             "cm3 m3 km3 * * pa kpa mpa gpa rad * * ps ns * ms pv nv * mv kv mv pw nw * mw "
             "kw mw * * a.m. bq cc cd * co. db gy ha hp in kk km kt lm ln log lx mb mil mol "
             "ph p.m. ppm pr sr sv wb"},
    {0x33ff, "gal"},
    {0xa7f2, "c f q"},
    {0xfb00, "ff fi fl ffi ffl st st"},
    {0xfe19, "..."},
    {0xfe30, ".. * * _ _"},
    {0xfe4d, "_ _ _ * * ."},
    {0xfe63, "- * * * * * $"},
    {0x107a5, "q"},
    {0x1d6a4, "i"},
    {0x1f100, "0."},
    {0x1f12b, "c r cd wz * a b c d e f g h i j k l m n o p q r s t u v w x y z hv mv sd ss "
              "ppv wc"},
    {0x1f16a, "mc md mr"},
    {0x1f190, "dj"},
    {0x1fbf0, "0 1 2 3 4 5 6 7 8 9"},
};

/* The letter or digit of ASCII that a fullwidth or mathematical one is, in lower case; 0: none. */
static char plain_form(uint32_t cp)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    if (cp >= 0xff01 && cp <= 0xff5e) {
        char c = (char)(cp - 0xff01 + '!');
        return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
    }
    if (cp >= 0x1d400 && cp <= 0x1d6a3)
        return letters[(cp - 0x1d400) % 26];
    return cp >= 0x1d7ce && cp <= 0x1d7ff ? (char)('0' + (cp - 0x1d7ce) % 10) : '\0';
}

/* The word that belongs to a character in a row of `forms`, and its length; NULL if none does. */
static const char *word_of(uint32_t cp, const char *words, uint32_t first, size_t *len)
{
    for (; cp >= first && *words; first++) {
        *len = strcspn(words, " ");
        if (cp == first)
            return *words == '*' ? NULL : words;
        words += *len;
        words += *words == ' ';
    }
    return NULL;
}

/* What a character counts as, in at most 4 bytes; "" for what is passed over. `s` is the character
 * itself, of `len` bytes. */
static void fold_one(uint32_t cp, const char *s, size_t len, char out[static 5])
{
    (void)str_format(out, 5, "%.*s", (int)len, s);
    if (cp >= 'A' && cp <= 'Z')
        out[0] = (char)(cp + 'a' - 'A');
    else if (text_hidden(cp))
        out[0] = '\0';
    else if (plain_form(cp))
        (void)str_format(out, 5, "%c", plain_form(cp));
    for (size_t i = 0; cp >= forms[0].first && i < ARRAY_LEN(forms); i++) {
        size_t n = 0;
        const char *word = word_of(cp, forms[i].words, forms[i].first, &n);
        if (word)
            (void)str_format(out, 5, "%.*s", (int)n, word);
    }
}

void fold_name(const char *name, size_t len, char out[static FOLDED_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < len && name[i] != ':';) {
        char one[5];
        uint32_t cp = 0xfffd;
        size_t used = text_decode(name + i, len - i, &cp);
        used += used == 0; /* bytes that are no text count as they are */
        fold_one(cp, name + i, used, one);
        i += used;
        if (str_copy(out + n, FOLDED_MAX - n, one) < 0)
            break;
        n += strlen(one);
    }
    while (n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
        n--;
    out[n] = '\0';
}
